"""How request bodies are read: strictly, and no field is dropped without a word.

A field is either honoured, or harmless (OpenAI's meaning of it changes nothing here), or refused by name. One table per
dialect, in `fields.py`, says which; a field in no table is refused as unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

UNSUPPORTED = "unsupported_parameter"

Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Honoured:
    """The field does what its documentation says.

    Attributes:
        paths: the field of the request message that it becomes, or one of several; none if the edge itself acts on it.
        copied: whether the value goes there as it is; otherwise a function of `edge/translation` puts it there.
    """

    paths: tuple[str, ...] = ()
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Harmless:
    """The field is accepted and has no effect. `values`: only these are; others are refused. `None`: all."""

    why: str
    values: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The field is an error. `why` also says what to do instead, if there is anything."""

    why: str


Treatment: TypeAlias = Honoured | Harmless | Refused
FieldTable: TypeAlias = Mapping[str, Treatment]


class Json(BaseModel):
    """A JSON object. `null` means unset; keys in `ignored` are accepted and dropped, unknown ones refused.

    Keys in `refused` are refused with the reason that stands there, unless they are false.
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    ignored: ClassVar[frozenset[str]] = frozenset()
    refused: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_unset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        return {key: value for key, value in raw.items() if value is not None and cls._keeps(key, value)}

    @classmethod
    def _keeps(cls, key: str, value: Any) -> bool:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if key in cls.refused and value:
            raise unsupported(key, cls.refused[key])
        dropped = cls.ignored.union(cls.refused)
        if key not in dropped and key not in known:
            raise unsupported(key, f"Unknown parameter.{_guess(key, known)}")
        return key not in dropped


class Body(Json):
    """The body of a request, sorted out by the table of its dialect."""

    fields: ClassVar[FieldTable]

    @classmethod
    def _keeps(cls, key: str, value: Any) -> bool:
        treatment = cls.fields.get(key)
        if treatment is None:
            raise unsupported(key, f"Unknown parameter.{_guess(key, cls.fields)}")
        if isinstance(treatment, Refused):
            raise unsupported(key, treatment.why)
        if isinstance(treatment, Harmless) and treatment.values is not None and value not in treatment.values:
            allowed = " or ".join(map(repr, treatment.values)).replace("True", "true").replace("False", "false")
            raise unsupported(key, f"{treatment.why} Only {allowed} is accepted.")
        return isinstance(treatment, Honoured)


def unsupported(param: str, why: str) -> PydanticCustomError:
    """Returns the error of a field that is not honoured, `param` being its path below the model at fault."""
    return PydanticCustomError(UNSUPPORTED, "{why}", {"why": why, "param": param})


def invalid(why: str, param: str = "") -> PydanticCustomError:
    """Returns the error of a value that is not allowed, `param` being its path below the model at fault."""
    return PydanticCustomError("invalid_value", "{why}", {"why": why, "param": param})


def _guess(key: str, known: Iterable[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


OneOrMany = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
"""A string or a list of strings."""
