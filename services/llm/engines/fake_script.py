"""What the fake engine says: the script of a request, and the words that follow from it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gpt_server.services.common.errors import InvalidField, InvalidMedia, UnsupportedFeature
from gpt_server.services.llm.engine import (
    Chat,
    GenerateRequest,
    Part,
    Reasoning,
    Sampling,
    StructuredOutput,
    TokenLogprob,
    TokenScore,
    ToolCallDelta,
)

FILLER = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda")
IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class ScriptedCall(BaseModel):
    """A tool call to make."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, Any] = {}


class Script(BaseModel):
    """What a request asks for under the key `fake`. Times in seconds; `*_after` counts tokens of a choice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reply: str | None = None
    reasoning: str = ""
    tool_calls: list[ScriptedCall] = []
    tokens: int | None = None
    prefill_s: float | None = None
    token_s: float | None = None
    fail_after: int | None = None
    crash_after: int | None = None
    die_after: int | None = None

    @property
    def faults(self) -> tuple[int | None, ...]:
        """After how many tokens something goes wrong."""
        return self.fail_after, self.crash_after, self.die_after


class Vocabulary:
    """Gives each word an id when it is first seen; 0 is end-of-sequence."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids = {"<eos>": 0}
        self._words = ["<eos>"]

    def ids(self, words: Sequence[str]) -> list[int]:
        """Returns the ids of words."""
        for word in words:
            if word not in self._ids:
                self._ids[word] = len(self._words)
                self._words.append(word)
        return [self._ids[word] for word in words]

    def words(self, ids: Sequence[int], path: str = "token_ids") -> list[str]:
        """Returns the words of ids. Raises `InvalidField` for one that no word has."""
        for i, token_id in enumerate(ids):
            if token_id >= len(self._words):
                raise InvalidField(f"{path}[{i}]", f"must be in the vocabulary; got {token_id}")
        return [self._words[token_id] for token_id in ids]


def split_words(text: str) -> list[str]:
    """Cuts a text into words, each with the space before it; joined they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def script_of(chat: Chat | None, text: str | None) -> Script:
    """Returns the script of a request, an empty one if it brings none. Raises `InvalidField`."""
    document, path = (chat.template_args_json, "chat.template_args_json") if chat else (text or "", "text")
    try:
        content = json.loads(document) if document else {}
    except json.JSONDecodeError:
        content = {}
    scripted = content.get("fake", {}) if isinstance(content, dict) else {}
    try:
        return Script.model_validate(scripted)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidField(path, f"fake: {faults}") from None


def refuse_unknown(request: GenerateRequest) -> None:
    """Raises `UnsupportedFeature` for what would change a script's words."""
    for name in ("bad_words", "allowed_token_ids"):
        if getattr(request.sampling, name):
            raise UnsupportedFeature(f"sampling.{name}", "the engine says the words of its script")


def prompt_logprobs(prompt: Sequence[int], options: Sampling, vocabulary: Vocabulary) -> list[TokenLogprob]:
    """Returns what is reported of a prompt: nothing, unless it is asked for."""
    if options.prompt_logprobs is None:
        return []
    (word,) = vocabulary.words(prompt[:1])
    first = TokenLogprob(TokenScore(prompt[0], 0.0, word, word.encode()))
    return [first, *(token_logprob(token_id, options.prompt_logprobs, vocabulary) for token_id in prompt[1:])]


def token_logprob(token_id: int, count: int, vocabulary: Vocabulary) -> TokenLogprob:
    """Returns what is reported of a token: it has half of the probability, others a half of the rest each."""
    others = vocabulary.ids([f"<other {i}>" for i in range(1, count)])
    scores = [_score(one, -0.7 * (place + 1), vocabulary) for place, one in enumerate((token_id, *others))]
    return TokenLogprob(scores[0], scores[:count])


def _score(token_id: int, logprob: float, vocabulary: Vocabulary) -> TokenScore:
    (word,) = vocabulary.words([token_id])
    return TokenScore(token_id, logprob, word, word.encode())


def prompt_words(chat: Chat | None, text: str | None) -> list[str]:
    """Returns the words of a prompt; an image is one.

    Raises:
        UnsupportedFeature: a part is neither text nor an image.
        InvalidMedia: an image is none.
    """
    if chat is None:
        return split_words(text or "")
    parts = (
        (part, f"chat.messages[{i}].content[{j}]")
        for i, message in enumerate(chat.messages)
        for j, part in enumerate(message.content)
    )
    return [word for part, path in parts for word in _part_words(part, path)]


def _part_words(part: Part, path: str) -> list[str]:
    if part.text is not None:
        return split_words(part.text)
    if part.image is None:
        raise UnsupportedFeature(path, "the engine takes text and images, no audio and no files")
    if not part.image.media.content.startswith(IMAGE_SIGNATURES):
        raise InvalidMedia(path, "is no PNG, JPEG, GIF or WebP image")
    return ["<image>"]


@dataclass(slots=True)
class Piece:
    """A token to come: its text, and the field of a delta that it goes into."""

    kind: Literal["reasoning", "content", "tool_calls"]
    text: str
    tool_calls: Sequence[ToolCallDelta] = ()


def pieces(request: GenerateRequest, script: Script, seed: int) -> list[Piece]:
    """Returns what the model would say if nothing stopped it.

    Raises:
        UnsupportedFeature: the form asked for is neither JSON nor a choice.
    """
    calls = script.tool_calls or _required_call(request, script)
    if request.chat and request.chat.parallel_tool_calls is False:
        calls = calls[:1]
    content = [] if calls and script.reply is None else _content(request, script, seed)
    said = [Piece("reasoning", word) for word in _reasoning(request, script)]
    said += [Piece("content", word) for word in content]
    for index, call in enumerate(calls):
        said += _call_pieces(index, call, f"call_{request.request_id}_{seed}_{index}")
    return said


def filler(count: int, seed: int) -> list[str]:
    """Returns words; other seeds, other words."""
    return [f"{' ' * (i > 0)}{FILLER[(seed + i) % len(FILLER)]}" for i in range(count)]


def _reasoning(request: GenerateRequest, script: Script) -> list[str]:
    wish = request.reasoning or Reasoning()
    if wish.enabled is False or wish.effort == "none":
        return []
    return split_words(script.reasoning)[: wish.max_tokens]


def _required_call(request: GenerateRequest, script: Script) -> list[ScriptedCall]:
    chat = request.chat
    if chat is None or chat.tool_choice is None or chat.tool_choice.mode != "required" or script.reply is not None:
        return []
    return [ScriptedCall(name=(*chat.tool_choice.allowed_tools, chat.tools[0].name)[0])]


def _content(request: GenerateRequest, script: Script, seed: int) -> list[str]:
    if script.tokens is not None:
        return filler(script.tokens, seed)
    if script.reply is not None:
        return split_words(script.reply)
    if request.structured_output is not None:
        return split_words(_in_form(request.structured_output))
    speaker = f"{request.adapter}, you" if request.adapter else "You"
    return split_words(f"{speaker} said: {_last_words(request)}")


def _last_words(request: GenerateRequest) -> str:
    if request.chat is None:
        return request.text if request.text is not None else f"{len(request.token_ids or ())} tokens"
    said = next((message for message in reversed(request.chat.messages) if message.role == "user"), None)
    return "".join(part.text or "" for part in said.content) if said else ""


def _call_pieces(index: int, call: ScriptedCall, call_id: str) -> list[Piece]:
    first = Piece("tool_calls", call.name, [ToolCallDelta(index, id=call_id, name=call.name)])
    arguments = split_words(json.dumps(call.arguments))
    return [first, *(Piece("tool_calls", word, [ToolCallDelta(index, arguments=word)]) for word in arguments)]


def _in_form(form: StructuredOutput) -> str:
    """The least text that has a form."""
    if form.choice is not None:
        return form.choice[0]
    if form.json_schema is not None:
        return json.dumps(_instance(json.loads(form.json_schema)))
    if form.json_object:
        return "{}"
    name = next(name for name in ("regex", "grammar", "structural_tag") if getattr(form, name) is not None)
    raise UnsupportedFeature(f"structured_output.{name}", f"the engine knows no {name}")


def _instance(schema: Any) -> Any:
    """The least value that a simple JSON Schema allows."""
    if not isinstance(schema, dict):
        return {}
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if schema.get("type", "object") == "object":
        properties: dict[str, Any] = schema.get("properties", {})
        required: list[str] = schema.get("required", list(properties))
        return {name: _instance(properties.get(name, {})) for name in required}
    least: dict[str, Any] = {"array": [], "string": "", "integer": 0, "number": 0, "boolean": False, "null": None}
    return least[schema["type"]]
