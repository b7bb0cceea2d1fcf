"""The bodies of requests for vectors, scores and labels."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import Body, FieldTable, Int32, Json, invalid
from gpt_server.edge.schemas.embed_fields import (
    CLASSIFY_FIELDS,
    EMBEDDING_FIELDS,
    MODERATION_FIELDS,
    RERANK_FIELDS,
    SCORE_FIELDS,
)

MAX_INPUTS = 10_000


class TextOrImage(Json):
    """A text, a picture, or both as one input. `image` is a URL, also of the `data:` kind."""

    text: str | None = None
    image: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> "TextOrImage":
        if not (self.text or self.image):
            raise invalid("At least one of 'text' and 'image' is required.", "text")
        return self


class ImageUrl(Json):
    """Where a picture is."""

    url: str


class ModerationPart(Json):
    """A part of one input, as OpenAI writes it."""

    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def _has_content(self) -> "ModerationPart":
        if not (self.text if self.type == "text" else self.image_url):
            raise invalid("Required by this type of part.", self.type)
        return self


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _inputs(value: Any) -> Any:
    """Brings the forms of an input into one: a list of texts, lists of token ids and objects."""
    if isinstance(value, str | dict) or (isinstance(value, list) and value and all(map(_is_id, value))):
        value = [value]
    if not isinstance(value, list) or not value:
        raise invalid("Input should be a string, an object with 'text' and 'image', token ids, or a list of such.")
    if len(value) > MAX_INPUTS:
        raise invalid(f"At most {MAX_INPUTS} inputs are allowed in one request; this one has {len(value)}.")
    for i, item in enumerate(value):
        if item == "" or item == []:
            raise invalid("Input should not be empty.", f"[{i}]")
    return value


Content = str | TextOrImage
Input = str | TextOrImage | list[Annotated[int, Field(ge=0, lt=2**31)]]
Inputs = Annotated[list[Input], BeforeValidator(_inputs, json_schema_input_type=Input | list[Input])]
Contents = Annotated[list[Content], BeforeValidator(_inputs, json_schema_input_type=Content | list[Content])]


class EmbedBody(Body):
    """What all of them may have."""

    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    truncate_prompt_tokens: Int32 | None = None
    prompt_name: str | None = None
    prompt: str | None = None
    priority: Int32 | None = None

    @model_validator(mode="after")
    def _has_one_prompt(self) -> "EmbedBody":
        if self.prompt is not None and self.prompt_name is not None:
            raise invalid("Only one of 'prompt' and 'prompt_name' may be set.", "prompt_name")
        return self


class EmbeddingRequest(EmbedBody):
    """OpenAI's embedding request, with vLLM's extensions, and the `output_dtype` of Voyage."""

    fields: ClassVar[FieldTable] = EMBEDDING_FIELDS

    input: Inputs
    dimensions: Int32 | None = Field(default=None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"
    output_dtype: Literal["float", "int8", "binary", "ubinary"] = "float"
    normalize: bool | None = None


class RerankRequest(EmbedBody):
    """With `documents`, a request of Cohere (1 and 2), Jina or vLLM; with `texts`, of Text Embeddings Inference."""

    fields: ClassVar[FieldTable] = RERANK_FIELDS

    model: str | None = Field(  # type: ignore[assignment]
        default=None, min_length=1, description="Unset: the only reranker that is ready."
    )
    query: Content
    documents: Contents | None = None
    texts: Contents | None = None
    top_n: Int32 | None = Field(default=None, ge=1)
    return_documents: bool = True
    return_text: bool = False
    raw_scores: bool | None = None
    instruction: str | None = None
    truncate: bool = False

    @property
    def contents(self) -> list[Content]:
        """The documents, under whichever name."""
        return self.documents or self.texts or []

    @model_validator(mode="after")
    def _has_documents(self) -> "RerankRequest":
        if (self.documents is None) == (self.texts is None):
            raise invalid("Exactly one of 'documents' and 'texts' is required.", "documents")
        if self.query == "":
            raise invalid("Input should not be empty.", "query")
        if self.instruction is not None and (self.prompt is not None or self.prompt_name is not None):
            raise invalid("Only one of 'instruction', 'prompt' and 'prompt_name' may be set.", "instruction")
        return self


class ScoreRequest(EmbedBody):
    """vLLM's score request: one text against one or many, or as many pairs as each side has."""

    fields: ClassVar[FieldTable] = SCORE_FIELDS

    text_1: Contents | None = None
    text_2: Contents | None = None
    queries: Contents | None = None
    documents: Contents | None = None
    raw_scores: bool | None = None

    @property
    def pairs(self) -> list[tuple[Content, Content]]:
        """The pairs, the first of each repeated if there is only one."""
        first, second = self.text_1 or self.queries or [], self.text_2 or self.documents or []
        return list(zip(first * len(second) if len(first) == 1 else first, second, strict=True))

    @model_validator(mode="after")
    def _has_pairs(self) -> "ScoreRequest":
        given = [name for name in ("text_1", "text_2", "queries", "documents") if getattr(self, name) is not None]
        if given not in (["text_1", "text_2"], ["queries", "documents"]):
            raise invalid("'text_1' and 'text_2' are required, or 'queries' and 'documents'.", "text_1")
        first, second = (len(getattr(self, name)) for name in given)
        if first not in (1, second):
            raise invalid(f"Input should have 1 item, or as many as '{given[1]}', {second}; it has {first}.", given[0])
        return self


class ClassifyRequest(EmbedBody):
    """vLLM's classify request."""

    fields: ClassVar[FieldTable] = CLASSIFY_FIELDS

    input: Inputs
    raw_scores: bool | None = None


def _moderated(value: Any) -> Any:
    """One input for a text or a list of parts, several for a list of texts."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [value]
    if isinstance(value, str | list):
        return _inputs(value)
    raise invalid("Input should be a string, a list of strings, or a list of parts.")


class ModerationRequest(Body):
    """OpenAI's moderation request; `threshold` is gpt_server's and wins over those of the configuration."""

    fields: ClassVar[FieldTable] = MODERATION_FIELDS

    model: str | None = Field(default=None, min_length=1, description="Unset: the configured, or the only, one.")
    input: Annotated[
        list[str | list[ModerationPart]],
        BeforeValidator(_moderated, json_schema_input_type=str | list[str] | list[ModerationPart]),
    ]
    threshold: float | None = Field(default=None, ge=0, le=1)
