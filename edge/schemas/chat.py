"""The body of POST /v1/chat/completions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import Body, FieldTable, Int32, Json, invalid, unsupported
from gpt_server.edge.schemas.fields import CHAT_FIELDS
from gpt_server.edge.schemas.sampling import GenerationBody, JsonObject

PART_TYPES = ("text", "image_url", "input_audio", "file", "refusal")


def _parts(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise invalid("Input should be a string or a list of content parts.")
    return value


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class ImageUrl(Json):
    """A picture: a `data:` URL, or one that the server fetches."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


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

    ignored: ClassVar[frozenset[str]] = frozenset({"prompt_cache_breakpoint"})

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


class CalledFunction(Json):
    """What the model called."""

    ignored: ClassVar[frozenset[str]] = frozenset({"parsed_arguments"})  # the SDK's helpers send them back

    name: str
    arguments: str


class ToolCall(Json):
    """A call that the model made earlier in the conversation."""

    ignored: ClassVar[frozenset[str]] = frozenset({"index"})  # streaming clients give it back

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Json):
    """One turn of the conversation."""

    # What answers of this and other servers carry, and clients send back with them; models are not shown it.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"annotations", "parsed", "provider_specific_fields", "images", "token_ids", "id"}
    )

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: Annotated[list[ContentPart], BeforeValidator(_parts, json_schema_input_type=str | list[ContentPart])] = (
        Field(default=[])
    )
    name: str = ""
    tool_calls: list[ToolCall] = Field(default=[])
    tool_call_id: str = ""
    refusal: str | None = None
    reasoning: str = ""
    reasoning_content: str = ""

    @model_validator(mode="after")
    def _fits_its_role(self) -> "Message":
        if self.role == "tool" and not self.tool_call_id:
            raise invalid("Required for a message of role 'tool'.", "tool_call_id")
        if self.role != "tool" and self.tool_call_id:
            raise invalid("Only allowed for role 'tool'.", "tool_call_id")
        for field in ("tool_calls", "refusal", "reasoning", "reasoning_content"):
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


class Function(Json):
    """A function that the model may call."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: str = ""
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(Json):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function


class FunctionName(Json):
    """A function, by its name."""

    name: str


class NamedTool(Json):
    """A tool, by its name."""

    type: Literal["function"]
    function: FunctionName


class AllowedTools(Json):
    """The tools that may be called."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1)


class ToolChoice(Json):
    """Whether and which tools are called. `"auto"` is short for `{"type": "auto"}`."""

    type: Literal["none", "auto", "required", "function", "allowed_tools"]
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None

    @model_validator(mode="after")
    def _names_what_it_says(self) -> "ToolChoice":
        for field in ("function", "allowed_tools"):
            if (self.type == field) != (getattr(self, field) is not None):
                raise invalid(f"Required with type '{field}', and only with it.", field)
        return self


class JsonSchema(Json):
    """A form for the answer. It is always kept to, whatever `strict` says."""

    ignored: ClassVar[frozenset[str]] = frozenset({"name", "description", "strict"})

    schema_: JsonObject = Field(alias="schema")


class ResponseFormat(Json):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise invalid("Required with type 'json_schema', and only with it.", "json_schema")
        return self


class Conversation(Body):
    """Messages and what the chat template makes of them."""

    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] = Field(default=[])
    chat_template_kwargs: JsonObject | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


class ChatCompletionRequest(Conversation, GenerationBody):
    """OpenAI's chat completion request, with vLLM's and gpt_server's extensions."""

    fields: ClassVar[FieldTable] = CHAT_FIELDS

    max_completion_tokens: Int32 | None = None
    logprobs: bool | None = None
    top_logprobs: Int32 | None = None
    response_format: ResponseFormat | None = None
    tool_choice: Annotated[ToolChoice, BeforeValidator(_typed, json_schema_input_type=str | ToolChoice)] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    enable_thinking: bool | None = None
    include_reasoning: bool = True

    @model_validator(mode="after")
    def _limits_agree(self) -> "ChatCompletionRequest":
        given = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(given) > 1:
            raise invalid("Contradicts 'max_completion_tokens', its newer name: set one of them.", "max_tokens")
        return self
