"""The body of POST /v1/completions."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import FieldTable, Int32, invalid, unsupported
from gpt_server.edge.schemas.chat import ResponseFormat
from gpt_server.edge.schemas.fields import COMPLETION_FIELDS
from gpt_server.edge.schemas.sampling import GenerationBody

Prompt = str | list[int]

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128


def _prompts(value: Any) -> Any:
    """Brings the four forms of a prompt into one: a list of texts and lists of token ids."""
    if isinstance(value, str) or (isinstance(value, list) and value and all(_is_id(item) for item in value)):
        value = [value]
    if not isinstance(value, list) or not value or not all(_is_prompt(item) for item in value):
        raise invalid("Input should be a string, a list of strings, a list of token ids, or a list of such lists.")
    if len(value) > MAX_PROMPTS:
        raise invalid(f"At most {MAX_PROMPTS} prompts are allowed in one request.")
    return value


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and all(_is_id(item) for item in value))


class CompletionRequest(GenerationBody):
    """OpenAI's completion request, with vLLM's extensions."""

    fields: ClassVar[FieldTable] = COMPLETION_FIELDS

    prompt: Annotated[
        list[Any],
        BeforeValidator(_prompts, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
    ]
    max_tokens: Int32 | None = DEFAULT_MAX_TOKENS
    logprobs: int | None = Field(default=None, ge=0, le=20)
    echo: bool = False
    best_of: Int32 | None = None
    response_format: ResponseFormat | None = None

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts, each a text or token ids."""
        return self.prompt

    @property
    def only_echo(self) -> bool:
        """Whether nothing is to follow the prompt: `max_tokens` is 0, which is allowed with `echo`."""
        return self.echo and self.max_tokens == 0

    @model_validator(mode="after")
    def _is_supported(self) -> "CompletionRequest":
        if self.best_of not in (None, self.choices):
            raise unsupported("best_of", "Not supported, unless it equals 'n'.")
        return self
