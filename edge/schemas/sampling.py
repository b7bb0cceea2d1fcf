"""What chat and completions have in common: how tokens are chosen, what form the text has, how it is streamed."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import Body, Int32, Int64, Json, OneOrMany, invalid

JsonObject = dict[str, Any]


def _token_ids(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if not all(isinstance(key, str) and key.isdecimal() and len(key) < 10 for key in value):
        raise invalid("Keys must be token ids, written as strings of digits.")
    return {int(key): bias for key, bias in value.items()}


def _schema_or_text(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise invalid("Input should be a JSON Schema: an object, or a string that holds one.")
    return value


def _document(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise invalid("Input should be a structural tag: an object, or a string that holds one.")
    return value


def _budget(value: Any) -> Any:
    return None if value == -1 and isinstance(value, int) else value


class StreamOptions(Json):
    """How the stream looks."""

    ignored = frozenset({"include_obfuscation"})  # padding against eavesdroppers; a stream without it is complete

    include_usage: bool = False
    continuous_usage_stats: bool = False


class StructuredOutputs(Json):
    """vLLM's constraint of the output: exactly one of them."""

    refused: ClassVar[Mapping[str, str]] = {
        "disable_any_whitespace": "How JSON is spaced is the engine's choice; ask for a 'regex' or a 'grammar'.",
        "disable_additional_properties": 'Write "additionalProperties": false into the schema.',
        "whitespace_pattern": "How JSON is spaced is the engine's choice; ask for a 'regex' or a 'grammar'.",
    }

    json_schema: Any = Field(default=None, alias="json")
    json_object: bool = False
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    structural_tag: Annotated[Any, BeforeValidator(_document)] = None


class GenerationBody(Body):
    """Fields of both dialects."""

    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    temperature: float | None = None
    top_p: float | None = None
    top_k: Int32 | None = None
    min_p: float | None = None
    n: Int32 | None = None
    max_tokens: Int32 | None = None
    min_tokens: Int32 | None = None
    stop: OneOrMany | None = None
    stop_token_ids: list[Int32] | None = None
    include_stop_str_in_output: bool | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    seed: Int64 | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: Annotated[dict[int, float], BeforeValidator(_token_ids)] | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Annotated[Any, BeforeValidator(_schema_or_text)] = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    thinking_token_budget: Annotated[Int32 | None, BeforeValidator(_budget)] = None
    bad_words: list[str] | None = None
    allowed_token_ids: list[Int32] | None = None
    prompt_logprobs: Int32 | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: Int32 | None = None
    cache_salt: str | None = None
    return_tokens_as_token_ids: bool = False
    priority: Int32 | None = None
    return_token_ids: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    session_id: str | None = None

    @model_validator(mode="after")
    def _options_belong_to_a_stream(self) -> "GenerationBody":
        if self.stream_options is not None and not self.stream:
            raise invalid("Only allowed with 'stream': true.", "stream_options")
        return self

    @property
    def choices(self) -> int:
        """How many choices are made from each prompt."""
        return 1 if self.n is None else self.n
