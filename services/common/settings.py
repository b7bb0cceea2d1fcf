"""Reads the settings of a process and says what is wrong with them, by key path."""

import argparse
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsError

S = TypeVar("S", bound=BaseSettings)


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in the settings: the path of the key, and what is wrong and allowed. An empty key: the whole file."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class BadSettings(Exception):
    """The settings cannot be used. `problems` has them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_settings(settings_type: type[S], flags: argparse.Namespace, source: "CliSettingsSource[Any]") -> S:
    """Returns the settings that file, environment and flags make together.

    Args:
        settings_type: the settings class.
        flags: the parsed command line; `flags.config` is the file, or `None`.
        source: the source that added the flags to the parser.

    Raises:
        BadSettings: the file cannot be read, or a value is not allowed.
    """
    file = _read_yaml(flags.config) if flags.config else {}
    try:
        return settings_type(_cli_settings_source=source(parsed_args=flags), **file)
    except ValidationError as error:
        raise BadSettings(problems_of(error, settings_type)) from None
    except SettingsError as error:
        raise BadSettings([Problem("", str(error))]) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise BadSettings([Problem("", f"{path}: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettings([Problem("", f"{path}{_where(error)}: not valid YAML")]) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadSettings([Problem("", f"{path}: must be a mapping of keys to values")])
    return content


def _where(error: Exception) -> str:
    """Line and fault, as far as the parser knows them."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f", line {error.problem_mark.line + 1}: {error.problem}"
    return ""


def problems_of(error: ValidationError, settings_type: type[BaseModel]) -> list[Problem]:
    """Returns what a validation found, one problem per key, in the words of someone who writes the file."""
    return [Problem(_path(fault["loc"]), _message(fault, settings_type)) for fault in error.errors(include_url=False)]


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location if step != "[key]")


def _message(fault: Any, settings_type: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        section = _section_at(settings_type, fault["loc"][:-1])
        return f"unknown key; allowed: {', '.join(section.model_fields)}" if section else "unknown key"
    if fault["type"] == "missing":
        return "is required"
    if fault["loc"][-3:-2] == ("adapters",):
        return "must be a name: up to 63 letters, digits, '.', '_' and '-', the first a letter or digit"
    if fault["loc"][-1:] == ("[key]",) and fault["type"] == "string_pattern_mismatch":
        return "must be a DNS label: 1 to 63 lower-case letters, digits and hyphens, none of them first or last"
    message: str = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    return message[:1].lower() + message[1:]


def _section_at(settings_type: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """Returns the settings class that holds the keys at a path."""
    found: Any = settings_type
    for step in location:
        *_, values = typing.get_args(found) or (None,)
        found = found.model_fields[str(step)].annotation if _is_section(found) else values
        if isinstance(found, types.UnionType):
            found, *_ = typing.get_args(found)  # the section of `Section | None`
    return found if _is_section(found) else None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
