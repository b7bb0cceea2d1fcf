"""`engine_args` that are an engine's own: read into the class that describes them, and what is wrong with them."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gpt_server.services.common.engines import EngineConfig, Problem

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


def read_arguments(kind: type[ArgumentsT], config: EngineConfig) -> tuple[ArgumentsT | None, Sequence[Problem]]:
    """Returns `engine_args` as a class describes them, or `None` and what is wrong with them."""
    try:
        return kind.model_validate(dict(config.engine_args)), ()
    except ValidationError as error:
        return None, [_problem(kind, fault["loc"], fault["msg"], fault["type"]) for fault in error.errors()]


def _problem(kind: type[BaseModel], path: Sequence[str | int], message: str, fault: str) -> Problem:
    if fault == "extra_forbidden":
        message = f"unknown; allowed are {', '.join(sorted(kind.model_fields))}"
    return Problem(".".join(["engine_args", *map(str, path)]), message)
