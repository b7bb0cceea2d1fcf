"""The body of POST /v1/chat/completions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import Body, FieldTable, Int32, Json, invalid, unsupported
from gpt_server.edge.schemas.fields import CHAT_FIELDS
from gpt_server.edge.schemas.sampling import GenerationBody, JsonObject
from gpt_server.edge.schemas.tools import (
    CalledFunction,
    Function,
    FunctionCallField,
    Tool,
    ToolCall,
    ToolChoiceField,
)

PART_TYPES = ("text", "image_url", "input_audio", "file", "refusal")


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise invalid("Input should be a string or a list of content parts.")
    return value


class ImageUrl(Json):
    """A picture: a `data:` URL, or one that the server fetches."""

    url: str
    detail: Literal["auto", "low", "high", "original"] = "auto"


class InputAudio(Json):
    """A sound, base64."""

    data: str
    format: Literal["wav", "mp3"]


class File(Json):
    """A document, as a `data:` URL or plain base64."""

    file_data: str | None = None
    filename: str = ""
    file_id: str | None = None

    @model_validator(mode="after")
    def _is_inline(self) -> "File":
        if self.file_id is not None:
            raise unsupported("file_id", "There is no file store; send the document as 'file_data'.")
        if self.file_data is None:
            raise invalid("Required parameter is missing.", "file_data")
        return self


class ContentPart(Json):
    """One piece of a message: `type` names the one field that is set."""

    ignored: ClassVar[frozenset[str]] = frozenset({"prompt_cache_breakpoint", "uuid"})  # hints for caches

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    refusal: str | None = None

    @model_validator(mode="after")
    def _has_its_content(self) -> "ContentPart":
        if getattr(self, self.type) is None:
            raise invalid("Required parameter is missing.", self.type)
        if len(self.model_fields_set) > 2:
            other = min(self.model_fields_set - {"type", self.type})
            raise invalid(f"Not allowed in a part of type '{self.type}'.", other)
        return self


class Message(Json):
    """One turn of the conversation."""

    # What answers of this and other servers carry, and clients send back with them; models are not shown it.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"annotations", "parsed", "provider_specific_fields", "images", "token_ids", "id"}
    )

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Annotated[list[ContentPart], BeforeValidator(_parts, json_schema_input_type=str | list[ContentPart])] = (
        Field(default=[])
    )
    name: str = ""
    tool_calls: list[ToolCall] = Field(default=[])
    tool_call_id: str = ""
    function_call: CalledFunction | None = None
    refusal: str | None = None
    reasoning: str = ""
    reasoning_content: str = ""

    @model_validator(mode="after")
    def _fits_its_role(self) -> "Message":
        if self.role == "tool" and not self.tool_call_id:
            raise invalid("Required for a message of role 'tool'.", "tool_call_id")
        if self.role != "tool" and self.tool_call_id:
            raise invalid("Only allowed for role 'tool'.", "tool_call_id")
        if self.role == "function" and not self.name:
            raise invalid("Required for a message of role 'function'.", "name")
        for field in ("tool_calls", "function_call", "refusal", "reasoning", "reasoning_content"):
            if self.role != "assistant" and getattr(self, field):
                raise invalid("Only allowed for role 'assistant'.", field)
        if self.role != "assistant" and "content" not in self.model_fields_set:
            raise invalid(f"Required for a message of role '{self.role}'.", "content")
        allowed = {"user": PART_TYPES[:4], "assistant": ("text", "refusal")}.get(self.role, ("text",))
        for index, part in enumerate(self.content):
            if part.type not in allowed:
                raise invalid(
                    f"A message of role '{self.role}' may hold {', '.join(allowed)}.", f"content[{index}].type"
                )
        return self


class JsonSchema(Json):
    """A form for the answer. It is always kept to, whatever `strict` says."""

    ignored: ClassVar[frozenset[str]] = frozenset({"name", "description", "strict"})

    schema_: JsonObject = Field(alias="schema")


class Structure(Json):
    """A tag of vLLM's older form of structural tags, with JSON in it."""

    begin: str
    schema_: JsonObject = Field(default={}, alias="schema")
    end: str


class ResponseFormat(Json):
    """The form of the answer. vLLM's `structural_tag` has `format`, or, as it was, `structures` and `triggers`."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: JsonSchema | None = None
    format: JsonObject | None = None
    structures: list[Structure] | None = Field(default=None, min_length=1)
    triggers: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_its_fields(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise invalid("Required with type 'json_schema', and only with it.", "json_schema")
        tag = self.type == "structural_tag"
        if tag != (self.format is not None or self.structures is not None):
            raise invalid("Required with type 'structural_tag', and only with it.", "format")
        if (self.structures is None) != (self.triggers is None):
            raise invalid("'structures' and 'triggers' belong together.", "triggers")
        return self


class Conversation(Body):
    """Messages and what the chat template makes of them."""

    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] = Field(default=[])
    documents: list[JsonObject] | None = None
    chat_template_kwargs: JsonObject | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @property
    def offered(self) -> list[Function]:
        """The functions that the model may call."""
        return [tool.function for tool in self.tools]

    @model_validator(mode="after")
    def _makes_sense(self) -> "Conversation":
        if self.documents is not None and "documents" in (self.chat_template_kwargs or {}):
            raise invalid("Contradicts 'chat_template_kwargs', which has documents too: set one of them.", "documents")
        called = False
        for index, message in enumerate(self.messages):
            called = called or message.function_call is not None
            if message.role == "function" and not called:
                raise invalid("Must follow a 'function_call' of the assistant.", f"messages[{index}].role")
        return self


class ChatCompletionRequest(Conversation, GenerationBody):
    """OpenAI's chat completion request, with vLLM's and gpt_server's extensions."""

    fields: ClassVar[FieldTable] = CHAT_FIELDS

    max_completion_tokens: Int32 | None = None
    logprobs: bool | None = None
    top_logprobs: Int32 | None = None
    response_format: ResponseFormat | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] = Field(default=[])
    function_call: FunctionCallField | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    enable_thinking: bool | None = None
    include_reasoning: bool = True
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None

    @property
    def offered(self) -> list[Function]:
        """The functions that the model may call."""
        return self.functions or super().offered

    @model_validator(mode="after")
    def _names_agree(self) -> "ChatCompletionRequest":
        if len({self.max_tokens, self.max_completion_tokens} - {None}) > 1:
            raise invalid("Contradicts 'max_completion_tokens', its newer name: set one of them.", "max_tokens")
        if self.functions and self.tools:
            raise invalid("Contradicts 'tools', its newer name: set one of them.", "functions")
        if self.function_call is not None and (self.tools or self.tool_choice is not None):
            raise invalid("Belongs to 'functions'; with 'tools' there is 'tool_choice'.", "function_call")
        return self
