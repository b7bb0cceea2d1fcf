"""Values that no engine accepts: what the comments of `sampling.proto` and `chat.proto` rule out.

Each check names the field by its path in the request and says what is allowed. What depends on a model (vocabulary,
context window, template) is its engine's to check.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import (
    Chat,
    GenerateRequest,
    Media,
    Message,
    Part,
    Sampling,
    StructuredOutput,
    TokenizeRequest,
    Tool,
)

RANGES: Sequence[tuple[str, float, float]] = (
    ("temperature", 0, 2),
    ("min_p", 0, 1),
    ("top_k", -1, 2**31 - 1),
    ("max_tokens", 1, 2**31 - 1),
    ("min_tokens", 0, 2**31 - 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("top_logprobs", 0, 20),
    ("prompt_logprobs", 0, 20),
)
MAX_STOPS = 16
MAX_BAD_WORDS = 128
MAX_SALT_CHARACTERS = 256
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_generate(request: GenerateRequest, max_running: int) -> None:
    """Raises `InvalidField` for the first value that is not allowed. `max_running`: the most choices."""
    _check_prompt(request)
    if request.token_ids is not None:
        _require(request.token_ids, "token_ids.ids", "must have at least one id")
        check_token_ids(request.token_ids, "token_ids.ids")
        plain = not request.add_special_tokens
        _require(plain, "add_special_tokens", "must not be true with token_ids, which are taken as they are")
    _check_prompt_options(request)
    _check_sampling(request.sampling, max_running)
    if request.structured_output is not None:
        _check_structured_output(request.structured_output)
    if request.reasoning is not None and request.reasoning.max_tokens is not None:
        _require(request.reasoning.max_tokens >= 0, "reasoning.max_tokens", "must be at least 0")


def check_tokenize(request: TokenizeRequest) -> None:
    """Raises `InvalidField` for the first value that is not allowed."""
    _check_prompt(request)


def check_token_ids(ids: Sequence[int], path: str) -> None:
    """Raises `InvalidField` if an id is negative; the upper end is the vocabulary's, which the engine knows."""
    for i, token_id in enumerate(ids):
        _require(token_id >= 0, f"{path}[{i}]", f"must be a token id, at least 0; got {token_id}")


def _check_prompt(request: GenerateRequest | TokenizeRequest) -> None:
    token_ids = request.token_ids if isinstance(request, GenerateRequest) else None
    allowed = "chat, text, token_ids" if isinstance(request, GenerateRequest) else "chat, text"
    is_set = any(prompt is not None for prompt in (request.chat, request.text, token_ids))
    _require(is_set, "prompt", f"exactly one of these must be set: {allowed}")
    if request.chat is not None:
        _check_chat(request.chat)


def _check_prompt_options(request: GenerateRequest) -> None:
    kept = request.truncate_prompt_tokens
    if kept is not None:
        allowed = "must be at least 1, or -1 for as many as fit"
        _require(kept >= 1 or kept == -1, "truncate_prompt_tokens", f"{allowed}; got {kept}")
    length = len(request.cache_salt)
    allowed = f"must have at most {MAX_SALT_CHARACTERS} characters"
    _require(length <= MAX_SALT_CHARACTERS, "cache_salt", f"{allowed}; got {length}")


def _check_sampling(options: Sampling, max_running: int) -> None:
    for name, low, high in (*RANGES, ("n", 1, max_running)):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:  # in this form NaN is refused too
            allowed = f"at least {low:g}" if high == 2**31 - 1 else f"between {low:g} and {high:g}"
            raise InvalidField(f"sampling.{name}", f"must be {allowed}; got {value:g}")
    if options.top_p is not None:
        _require(0 < options.top_p <= 1, "sampling.top_p", f"must be more than 0 and at most 1; got {options.top_p:g}")
    penalty = options.repetition_penalty
    if penalty is not None:
        path = "sampling.repetition_penalty"
        _require(0 < penalty < float("inf"), path, f"must be more than 0; got {penalty:g}")
    if None not in (options.min_tokens, options.max_tokens):
        fits = (options.min_tokens or 0) <= (options.max_tokens or 0)
        _require(fits, "sampling.min_tokens", f"must be at most max_tokens, {options.max_tokens}")
    if options.top_logprobs:
        _require(options.logprobs, "sampling.top_logprobs", "needs logprobs to be true")
    _check_texts(options.stop, "sampling.stop", MAX_STOPS)
    _check_texts(options.bad_words, "sampling.bad_words", MAX_BAD_WORDS)
    check_token_ids(options.stop_token_ids, "sampling.stop_token_ids")
    check_token_ids(options.allowed_token_ids, "sampling.allowed_token_ids")
    for token_id, bias in options.logit_bias.items():
        path = f"sampling.logit_bias[{token_id}]"
        _require(token_id >= 0, path, "must be for a token id, at least 0")
        _require(-100 <= bias <= 100, path, f"must be between -100 and 100; got {bias:g}")


def _check_texts(texts: Sequence[str], path: str, most: int) -> None:
    _require(len(texts) <= most, path, f"must have at most {most} strings; got {len(texts)}")
    for i, text in enumerate(texts):
        _require(text, f"{path}[{i}]", "must not be empty")


def _check_structured_output(form: StructuredOutput) -> None:
    if form.json_schema is not None:
        schema = _json(form.json_schema, "structured_output.json_schema")
        is_schema = isinstance(schema, dict | bool)
        _require(is_schema, "structured_output.json_schema", "must be a JSON Schema: a JSON object, true or false")
    for name in ("regex", "grammar"):
        _require(getattr(form, name) != "", f"structured_output.{name}", "must not be empty")
    if form.choice is not None:
        _require(form.choice, "structured_output.choice.texts", "must have at least one text")
        for i, text in enumerate(form.choice):
            _require(text, f"structured_output.choice.texts[{i}]", "must not be empty")
    if form.structural_tag is not None:
        tag = _json(form.structural_tag, "structured_output.structural_tag")
        _require(isinstance(tag, dict), "structured_output.structural_tag", "must be a JSON object")


def _check_chat(chat: Chat) -> None:
    _require(chat.messages, "chat.messages", "must have at least one message")
    for i, message in enumerate(chat.messages):
        _check_message(message, f"chat.messages[{i}]")
    names = _check_tools(chat.tools)
    _check_tool_choice(chat, names)
    if chat.template_args_json:
        arguments = _json(chat.template_args_json, "chat.template_args_json")
        _require(isinstance(arguments, dict), "chat.template_args_json", "must be a JSON object")
    if chat.continue_final_message:
        path = "chat.continue_final_message"
        _require(not chat.add_generation_prompt, path, "cannot be combined with add_generation_prompt")
        _require(chat.messages[-1].role == "assistant", path, "needs a last message of the assistant")


def _check_message(message: Message, path: str) -> None:
    for i, part in enumerate(message.content):
        _check_part(part, f"{path}.content[{i}]")
    if message.role == "assistant":
        says = message.content or message.tool_calls or message.reasoning
        _require(says, f"{path}.content", "must have at least one part, unless the assistant calls tools")
    else:
        _require(message.content, f"{path}.content", "must have at least one part")
        _require(not message.tool_calls, f"{path}.tool_calls", "is for messages of the assistant alone")
        _require(not message.reasoning, f"{path}.reasoning", "is for messages of the assistant alone")
    if message.role == "tool":
        _require(message.tool_call_id, f"{path}.tool_call_id", "must name the call that this is the result of")
    else:
        _require(not message.tool_call_id, f"{path}.tool_call_id", "is for messages of a tool alone")
    for i, call in enumerate(message.tool_calls):
        _require(call.id, f"{path}.tool_calls[{i}].id", "must not be empty")
        _require(call.name, f"{path}.tool_calls[{i}].name", "must not be empty")


def _check_part(part: Part, path: str) -> None:
    media: dict[str, Media | None] = {
        "image.media": part.image.media if part.image else None,
        "audio": part.audio,
        "file": part.file,
    }
    for name, medium in media.items():
        if medium is not None:
            _require(medium.content, f"{path}.{name}.content", "must have at least one byte")


def _check_tools(tools: Sequence[Tool]) -> set[str]:
    names: set[str] = set()
    for i, tool in enumerate(tools):
        path = f"chat.tools[{i}]"
        is_name = TOOL_NAME.fullmatch(tool.name)
        _require(is_name, f"{path}.name", "must be 1 to 64 letters, digits, underscores, hyphens and dots")
        _require(tool.name not in names, f"{path}.name", f"must be unique; {tool.name!r} is there twice")
        names.add(tool.name)
        if tool.parameters:
            schema = _json(tool.parameters, f"{path}.parameters")
            _require(isinstance(schema, dict), f"{path}.parameters", "must be a JSON Schema: a JSON object")
    return names


def _check_tool_choice(chat: Chat, names: set[str]) -> None:
    if chat.tool_choice is None:
        return
    if chat.tool_choice.mode == "required":
        _require(chat.tools, "chat.tool_choice.mode", "'required' needs at least one tool in chat.tools")
    for i, name in enumerate(chat.tool_choice.allowed_tools):
        path = f"chat.tool_choice.allowed_tools[{i}]"
        _require(name in names, path, f"must be one of chat.tools ({', '.join(sorted(names)) or 'none'}); got {name!r}")


def _json(document: str, path: str) -> Any:
    try:
        return json.loads(document)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidField(path, f"must be a JSON document: {error}") from None


def _require(holds: object, path: str, message: str) -> None:
    if not holds:
        raise InvalidField(path, message)
