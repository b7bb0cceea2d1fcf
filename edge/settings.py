"""Reads the settings of an edge and says what is wrong with them, by key path."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from gpt_server.edge.config import EdgeSettings


class Problem(NamedTuple):
    """A fault in the settings: the path of the key, empty for all of them, and what is wrong and allowed."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class BadSettingsError(Exception):
    """The settings cannot be used. `problems` has them all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_settings(flags: argparse.Namespace, source: CliSettingsSource[EdgeSettings]) -> EdgeSettings:
    """Returns the settings that file, environment and flags make together.

    Args:
        flags: the parsed command line; `flags.config` is the file, or `None`.
        source: the source that added the flags to the parser.

    Raises:
        BadSettingsError: the file cannot be read, or a value is not allowed.
    """
    file = _read_yaml(flags.config) if flags.config else {}
    if "api_keys" in file:
        raise BadSettingsError([Problem("api_keys", "keys do not belong in this file: set api_keys_file")])
    try:
        return EdgeSettings(_cli_settings_source=source(parsed_args=flags), **file)  # type: ignore[call-arg]
    except ValidationError as error:
        raise BadSettingsError([_problem(fault) for fault in error.errors(include_url=False)]) from None
    except SettingsError as error:
        raise BadSettingsError([Problem("", str(error))]) from None


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettingsError([Problem("", f"{path}: {error.strerror}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettingsError([Problem("", f"{path} is not valid YAML: {' '.join(str(error).split())}")]) from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadSettingsError([Problem("", f"{path}: must be a mapping of keys to values")])
    return content


def _problem(fault: Any) -> Problem:
    message: str = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        allowed = ", ".join(key for key in _section(fault["loc"][:-1]).model_fields if key != "api_keys")
        message = f"unknown key; allowed: {allowed}"
    return Problem(".".join(map(str, fault["loc"])), message[:1].lower() + message[1:])


def _section(path: Sequence[int | str]) -> type[BaseModel]:
    """Returns the settings class that holds the keys at a path."""
    found: Any = EdgeSettings
    for step in path:
        annotation = found.model_fields[str(step)].annotation
        options = (annotation, *getattr(annotation, "__args__", ()))
        found = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    section: type[BaseModel] = found
    return section
