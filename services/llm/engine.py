"""What an LLM engine is: the whole contract between gRPC and a library.

The dataclasses mirror `gpt_server.llm.v1` field by field, under the same names; a test compares them. `None`
means unset, wherever the message's comment says what unset means. No protobuf and no gRPC here.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gpt_server.services.common.content import Image as Image
from gpt_server.services.common.content import ImageDetail as ImageDetail
from gpt_server.services.common.content import Media as Media
from gpt_server.services.common.content import Part as Part
from gpt_server.services.common.engines import Engine
from gpt_server.services.common.engines import EngineConfig as EngineConfig
from gpt_server.services.common.engines import Problem as Problem
from gpt_server.services.common.errors import UnsupportedFeature

Role = Literal["system", "developer", "user", "assistant", "tool"]
ToolChoiceMode = Literal["none", "auto", "required"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
FinishReason = Literal["stop", "length", "tool_calls"]
Capability = Literal[
    "chat",
    "completion",
    "tools",
    "reasoning",
    "structured_output",
    "logprobs",
    "image_input",
    "audio_input",
]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made earlier. `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: Sequence[Part] = ()
    name: str = ""
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON Schema as text, or empty."""

    name: str
    description: str = ""
    parameters: str = ""
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether, and which, tools are called. No names: all of them."""

    mode: ToolChoiceMode
    allowed_tools: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation. `template_args_json` is a JSON object as text, or empty."""

    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    template_args_json: str = ""
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; ranges stand at the message of the same name."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    n: int | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    skip_special_tokens: bool | None = None
    bad_words: Sequence[str] = ()
    allowed_token_ids: Sequence[int] = ()
    prompt_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class StructuredOutput:
    """A form that the text must have: exactly one field is set."""

    json_object: bool | None = None
    json_schema: str | None = None
    regex: str | None = None
    choice: Sequence[str] | None = None
    grammar: str | None = None
    structural_tag: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much the model thinks."""

    enabled: bool | None = None
    effort: ReasoningEffort | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One request. Of `chat`, `text` and `token_ids` exactly one is set.

    `model` is a served name as the caller wrote it; `adapter` is the adapter's key in the configuration
    when that name is one of an adapter, else `None`. `request_id` is unique in the process.
    """

    request_id: str
    model: str
    adapter: str | None = None
    chat: Chat | None = None
    text: str | None = None
    token_ids: Sequence[int] | None = None
    sampling: Sampling = Sampling()
    structured_output: StructuredOutput | None = None
    reasoning: Reasoning | None = None
    priority: int | None = None
    return_token_ids: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = None
    cache_salt: str = ""


@dataclass(frozen=True, slots=True)
class TokenizeRequest:
    """Of `chat` and `text` exactly one is set."""

    model: str
    chat: Chat | None = None
    text: str | None = None
    add_special_tokens: bool | None = None
    return_token_strings: bool | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids of a text and, if asked for, the tokens as the vocabulary writes them."""

    token_ids: Sequence[int]
    token_strings: Sequence[str] = ()


@dataclass(slots=True)
class Prepared:
    """A request that was found valid, with its prompt as token ids. Engines subclass it to carry more."""

    request: GenerateRequest
    prompt_token_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token and its log-probability (natural logarithm, before temperature and filters)."""

    token_id: int
    logprob: float
    token: str
    raw_bytes: bytes


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A sampled token and the likeliest ones at its place, likeliest first."""

    sampled: TokenScore
    top: Sequence[TokenScore] = ()


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """New output of one tool call; `id` and `name` in its first fragment only."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Delta:
    """New output of one choice. No text ever splits a code point."""

    choice: int
    content: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()
    logprobs: Sequence[TokenLogprob] = ()
    token_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class ChoiceFinish:
    """How a choice ended; `stop` or `stop_token_id` if at a stop of the request's own."""

    choice: int
    finish_reason: FinishReason
    stop: str | None = None
    stop_token_id: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens over all choices. `None`: the engine does not report it."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. The servicer fills `queue_s` of the service's own queue in."""

    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a request: one `ChoiceFinish` for each choice, in order of their numbers."""

    choices: Sequence[ChoiceFinish]
    usage: Usage
    timings: Timings


@dataclass(slots=True)
class Output:
    """One message of the stream: all that is new. `finished` on the last one, and only there.

    `prompt_logprobs`, if asked for, on the first one, and only there; the prompt's first token has 0.
    """

    deltas: Sequence[Delta] = ()
    finished: Finished | None = None
    prompt_logprobs: Sequence[TokenLogprob] = ()


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a loaded model is. `default_sampling` holds what the model itself says (generation_config.json)."""

    max_context_tokens: int
    vocab_size: int
    eos_token_ids: Sequence[int]
    capabilities: frozenset[Capability]
    default_sampling: Sampling = Sampling()
    chat_template: str = ""


class LLMEngine(Engine[ModelDetails]):
    """Runs one model in this process."""

    @abstractmethod
    async def prepare(self, request: GenerateRequest) -> Prepared:
        """Validates a request and renders and tokenises its prompt. Computes nothing.

        Every field that the engine cannot honour is refused here, by name. Ranges that hold for every engine
        (the comments of `Sampling`) were checked before.

        Raises:
            InvalidField: a value is not allowed, for example a malformed JSON Schema or template.
            UnsupportedFeature: the engine cannot honour a field that is set.
            ContextLengthExceeded: the prompt, or prompt and `max_tokens`, do not fit.
            WrongModelKind: a chat is sent to a model without a chat template.
            InvalidMedia: a part cannot be decoded.
        """

    @abstractmethod
    def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        """Samples a prepared request and yields what is new, as soon as there is anything, and all of it.

        Between two `__anext__` calls output accumulates and is then yielded as one. The last output carries
        `finished`. Closing the generator early (`aclose`, or cancelling the task that awaits it) aborts the request
        and frees what it holds within two steps of the model.

        Raises:
            EngineUnavailable: the engine has died.
        """

    @abstractmethod
    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Turns a prompt into token ids, exactly as `prepare` would. Raises the same."""

    @abstractmethod
    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Turns ids into text, special tokens included.

        Raises:
            InvalidField: an id is outside the vocabulary.
        """

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Loads an adapter in PEFT's format, while requests run. One of this name is not loaded.

        Raises:
            UnsupportedFeature: adapters are loaded at the start only.
            InvalidField: `folder` has no adapter that fits the model; nothing has changed.
        """
        raise UnsupportedFeature("adapter", f"the {self.name} engine loads no adapters while it runs")

    async def unload_adapter(self, name: str) -> None:
        """Frees an adapter that no request uses. Raises `UnsupportedFeature`: it stays until the end."""
        raise UnsupportedFeature("adapter", f"the {self.name} engine unloads no adapters while it runs")

    @abstractmethod
    def running(self) -> int:
        """Returns how many sequences hold memory in the engine now; 0 when idle. Tests await it after cancelling."""
