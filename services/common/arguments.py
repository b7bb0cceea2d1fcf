"""`engine_args` that are a library's own arguments: names, types and values are looked up in its dataclass of them."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gpt_server.services.common.engines import Problem


@dataclass(frozen=True, slots=True)
class LibraryArguments:
    """What `engine_args` of an engine may say.

    Attributes:
        library: its name, for people.
        theirs: type of each argument of the library's, by name.
        own: those of the engine, which the library does not have.
        elsewhere: those of the library's that are not taken, and why.
    """

    library: str
    theirs: Mapping[str, Any]
    own: type[BaseModel]
    elsewhere: Mapping[str, str]

    def check(self, engine_args: Mapping[str, Any]) -> Sequence[Problem]:
        """Returns which names or values are wrong."""
        faults = {name: self._fault(name, value) for name, value in engine_args.items()}
        return [Problem(f"engine_args.{name}", fault) for name, fault in faults.items() if fault]

    def of_library(self, engine_args: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what is the library's, of arguments that were found right, over `defaults`; as its types."""
        wanted = {**defaults, **{name: value for name, value in engine_args.items() if name not in self._ours}}
        return {name: _adapter(self.theirs[name]).validate_python(value) for name, value in wanted.items()}

    def of_engine(self, engine_args: Mapping[str, Any]) -> Any:
        """Returns what is the engine's, of arguments that were found right: an `own`."""
        return self.own(**{name: value for name, value in engine_args.items() if name in self._ours})

    @property
    def _ours(self) -> Mapping[str, Any]:
        return self.own.model_fields

    def _fault(self, name: str, value: Any) -> str:
        if name in self.elsewhere:
            return f"not taken here: {self.elsewhere[name]}"
        known = {*self.theirs, *self._ours} - self.elsewhere.keys()
        if name not in known:
            meant = get_close_matches(name, known, 1)
            return f"{self.library} has no such argument" + (f"; did you mean {meant[0]}?" if meant else "")
        try:
            _adapter(self._ours[name].annotation if name in self._ours else self.theirs[name]).validate_python(value)
        except ValidationError as error:
            return "; ".join(dict.fromkeys(fault["msg"] for fault in error.errors()))
        return ""


def argument_types(arguments: type) -> Mapping[str, Any]:
    """Returns the type of each field of a dataclass; `Any` where its name cannot be looked up."""
    names = vars(sys.modules[arguments.__module__])

    def kind(written: Any) -> Any:
        try:
            return eval(written, names) if isinstance(written, str) else written  # noqa: S307 (a library's own source)
        except NameError:
            return Any

    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(arguments)
    return {field.name: kind(field.type) for field in fields}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    has_config = dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel))
    return TypeAdapter(kind, config=None if has_config else ConfigDict(arbitrary_types_allowed=True))
