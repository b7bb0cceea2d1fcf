"""Chat and completion requests -> `GenerateRequest`; and back, from its fields to OpenAI's parameters."""

import re
from collections.abc import Callable
from typing import Any

import orjson

from gpt_server.edge.errors import ApiError
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.base import Body, FieldTable, Honoured
from gpt_server.edge.schemas.chat import ChatCompletionRequest, ResponseFormat
from gpt_server.edge.schemas.completions import CompletionRequest, Prompt
from gpt_server.edge.schemas.sampling import GenerationBody
from gpt_server.edge.translation.chat import fill_conversation, fill_function_call, fill_tool_choice
from gpt_server.llm.v1 import llm_service_pb2, sampling_pb2

SAME_INSIDE = (
    *("messages", "tools", "functions", "tokens", "stop", "stop_token_ids", "logit_bias"),
    *("bad_words", "allowed_token_ids"),
)
"""Parameters whose parts have the same paths on both sides."""
NUMBERED = ("input", "documents", "texts", "image", "images")
"""Parameters whose items are one input each."""


async def chat_request(body: ChatCompletionRequest, media: MediaLoader) -> llm_service_pb2.GenerateRequest:
    """Returns a chat completion request as a service understands it.

    Raises:
        ApiError: a part cannot be loaded, or fields contradict each other.
    """
    request = _request(body, body.response_format)
    await fill_conversation(request.chat, body, media)
    if body.tool_choice is not None:
        fill_tool_choice(request.chat.tool_choice, body.tool_choice)
    if body.function_call is not None:
        fill_function_call(request.chat.tool_choice, body.function_call)
    if body.functions:
        request.chat.parallel_tool_calls = False  # the answer's `function_call` holds one
    if body.reasoning_effort is not None:
        effort = sampling_pb2.ReasoningEffort.Value(f"REASONING_EFFORT_{body.reasoning_effort.upper()}")
        request.reasoning.effort = effort
    return request


def completion_request(body: CompletionRequest, prompt: Prompt) -> llm_service_pb2.GenerateRequest:
    """Returns the request for one prompt of a completion request. Raises `ApiError`: fields contradict each other."""
    request = _request(body, body.response_format)
    if isinstance(prompt, str):
        request.text = prompt
    else:
        request.token_ids.ids.extend(prompt)
    if body.logprobs is not None:
        request.sampling.logprobs = True
        request.sampling.top_logprobs = body.logprobs
    if body.echo:
        _fill_echo(request, body)
    return request


def _fill_echo(request: llm_service_pb2.GenerateRequest, body: CompletionRequest) -> None:
    """Asks for what is needed to repeat a prompt: its log-probabilities, and its ids where they become its text."""
    if body.logprobs is not None and body.prompt_logprobs is None:
        request.sampling.prompt_logprobs = body.logprobs
    if not is_its_own_text(body, request):
        request.return_token_ids = True
    if body.only_echo:
        request.sampling.max_tokens = 1


def is_its_own_text(body: CompletionRequest, request: llm_service_pb2.GenerateRequest) -> bool:
    """Whether the text of the prompt is what the caller has written."""
    return request.WhichOneof("prompt") == "text" and body.truncate_prompt_tokens is None


def copy_fields(body: Body, request: Any) -> None:
    """Copies every field of `body` that its table calls copied into the protobuf message `request`."""
    for name, treatment in body.fields.items():
        if isinstance(treatment, Honoured) and treatment.copied and (value := getattr(body, name)) is not None:
            *parents, leaf = treatment.paths[0].split(".")
            message = request
            for parent in parents:
                message = getattr(message, parent)
            if isinstance(value, list):
                getattr(message, leaf).extend(value)
            elif isinstance(value, dict):
                getattr(message, leaf).update(value)
            else:
                setattr(message, leaf, value)


def to_param(body: Body) -> Callable[[str], str | None]:
    """Returns the function from the path of a field of the request message to the parameter that the caller wrote."""
    return lambda path: param_of(path, body.fields, body.model_fields_set)


def param_of(path: str, fields: FieldTable, given: set[str]) -> str | None:
    """Returns OpenAI's path: `sampling.max_tokens` is `max_tokens`, `chat.messages[2].role` is `messages[2].role`.

    Where several parameters become one field, it is one that was given.
    """
    found: list[tuple[bool, int, str]] = []
    for name, treatment in fields.items():
        for known in treatment.paths if isinstance(treatment, Honoured) else ():
            if _is_below(path, known):
                inner = path[len(known) :] if name in SAME_INSIDE else _index(path[len(known) :], name)
                found.append((name in given, len(known), name + inner))
            elif _is_below(known, path) and name in given:
                found.append((True, 0, name))
    if not found:
        return None
    # Tools and calls are flat in the proto; OpenAI's stand in an object `function`.
    return re.sub(r"(tools|tool_calls)(\[\d+])\.(?!id\b)", r"\1\2.function.", max(found)[2])


def _index(inner: str, name: str) -> str:
    """Of what lies below an input of `EmbedService`, callers know its place alone."""
    return inner.partition("]")[0] + "]" if name in NUMBERED and inner.startswith("[") else ""


def _is_below(path: str, parent: str) -> bool:
    return path.startswith(parent) and path[len(parent) : len(parent) + 1] in ("", ".", "[")


def _request(body: GenerationBody, response_format: ResponseFormat | None) -> llm_service_pb2.GenerateRequest:
    request = llm_service_pb2.GenerateRequest()
    copy_fields(body, request)
    if body.return_token_ids or (body.stream_options and body.stream_options.continuous_usage_stats):
        request.return_token_ids = True
    _fill_structured_output(request, body, response_format)
    return request


def _fill_structured_output(
    request: llm_service_pb2.GenerateRequest, body: GenerationBody, response_format: ResponseFormat | None
) -> None:
    wanted = [
        (name, kind, value) for name, kind, value in _constraints(body, response_format) if value not in (None, False)
    ]
    if len(wanted) > 1:
        names = " and ".join(f"'{name}'" for name, _, _ in wanted)
        raise ApiError("INVALID_FIELD", f"Only one of {names} may be set.", param=wanted[1][0])
    for name, kind, value in wanted:
        output = request.structured_output
        if kind == "json_object":
            output.json_object.SetInParent()
        elif kind == "choice":
            output.choice.texts.extend(value)
        else:
            setattr(output, kind, _document(value, name) if kind in ("json_schema", "structural_tag") else value)


def _constraints(body: GenerationBody, response_format: ResponseFormat | None) -> list[tuple[str, str, Any]]:
    """Returns all that can restrict the text: parameter, field of `StructuredOutput`, value."""
    found: list[tuple[str, str, Any]] = [
        (f"guided_{old}", new, getattr(body, f"guided_{old}"))
        for old, new in (("json", "json_schema"), ("regex", "regex"), ("choice", "choice"), ("grammar", "grammar"))
    ]
    if (outputs := body.structured_outputs) is not None:
        for kind in ("json_schema", "json_object", "regex", "choice", "grammar", "structural_tag"):
            name = kind.removesuffix("_schema")
            found.append((f"structured_outputs.{name}", kind, getattr(outputs, kind)))
    if response_format is not None:
        schema = response_format.json_schema
        found.append(("response_format", "json_object", response_format.type == "json_object"))
        found.append(("response_format", "json_schema", schema and schema.schema_))
        found.append(("response_format", "structural_tag", _structural_tag(response_format)))
    return found


def _structural_tag(form: ResponseFormat) -> dict[str, Any] | None:
    """Returns vLLM's structural tag, of its newer or older form, as xgrammar has it."""
    content = form.format
    if form.structures is not None:
        tags = [
            {
                "type": "tag",
                "begin": one.begin,
                "content": {"type": "json_schema", "json_schema": one.schema_},
                "end": one.end,
            }
            for one in form.structures
        ]
        content = {"type": "triggered_tags", "triggers": form.triggers, "tags": tags}
    return None if content is None else {"type": "structural_tag", "format": content}


def _document(schema: Any, param: str) -> str:
    """Returns a JSON Schema or a structural tag as text."""
    if isinstance(schema, str):
        return schema
    if not isinstance(schema, dict):
        raise ApiError("INVALID_FIELD", "A JSON Schema must be an object, or a string that holds one.", param=param)
    return orjson.dumps(schema).decode()
