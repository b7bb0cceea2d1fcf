"""Tools in requests: what may be called, whether, and what was called before."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from gpt_server.edge.schemas.base import Json, invalid, unsupported
from gpt_server.edge.schemas.sampling import JsonObject

_NO_CUSTOM = "There are no custom tools; offer a function with one parameter of type string."


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _named(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str) else value


def _not_custom(value: Any) -> Any:
    if value == "custom":
        raise unsupported("", _NO_CUSTOM)
    return value


def _function(value: Any) -> Any:
    if isinstance(_not_custom(value), str) and value != "function":
        raise unsupported("", f"Tools of type '{value}' run at OpenAI; only functions of your own can be called.")
    return value


FunctionType = Annotated[Literal["function"], BeforeValidator(_function)]
"""The type of a tool. Others are refused by name."""


class OfFunctions(Json):
    """A part of a request that speaks of functions, where OpenAI has custom tools too."""

    refused: ClassVar[Mapping[str, str]] = {"custom": _NO_CUSTOM}


class CalledFunction(Json):
    """What the model called."""

    ignored: ClassVar[frozenset[str]] = frozenset({"parsed_arguments"})  # the SDK's helpers send them back

    name: str
    arguments: str


class ToolCall(OfFunctions):
    """A call that the model made earlier in the conversation."""

    ignored: ClassVar[frozenset[str]] = frozenset({"index"})  # streaming clients give it back

    id: str
    type: FunctionType = "function"
    function: CalledFunction


class Function(Json):
    """A function that the model may call."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    description: str = ""
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(OfFunctions):
    """A tool that the model may call."""

    type: FunctionType
    function: Function


class FunctionName(Json):
    """A function, by its name."""

    name: str


class NamedTool(OfFunctions):
    """A tool, by its name."""

    type: FunctionType
    function: FunctionName


class AllowedTools(Json):
    """The tools that may be called."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool] = Field(min_length=1)


class ToolChoice(OfFunctions):
    """Whether and which tools are called. `"auto"` is short for `{"type": "auto"}`."""

    type: Annotated[Literal["none", "auto", "required", "function", "allowed_tools"], BeforeValidator(_not_custom)]
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None

    @model_validator(mode="after")
    def _names_what_it_says(self) -> "ToolChoice":
        for field in ("function", "allowed_tools"):
            if (self.type == field) != (getattr(self, field) is not None):
                raise invalid(f"Required with type '{field}', and only with it.", field)
        return self


ToolChoiceField = Annotated[ToolChoice, BeforeValidator(_typed, json_schema_input_type=str | ToolChoice)]
"""A tool choice, or its `type` alone."""


class FunctionCall(Json):
    """Whether and which function is called, in OpenAI's deprecated form. `"auto"` is short for `{"mode": "auto"}`."""

    mode: Literal["none", "auto"] | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "FunctionCall":
        if (self.mode is None) == (self.name is None):
            raise invalid("Input should be 'none', 'auto' or an object with the name of a function.")
        return self


FunctionCallField = Annotated[FunctionCall, BeforeValidator(_named, json_schema_input_type=str | FunctionCall)]
"""A function call, or its `mode` alone."""
