"""What every engine checks of its configuration before anything is loaded: the model's folder, and `engine_args`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gpt_server.services.common.engines import EngineConfig, Problem

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


def check_model(model: str, *needed: Sequence[str], from_hub: bool = True) -> Sequence[Problem]:
    """Returns what is wrong with a model's folder; nothing if `model` may be an id on a hub.

    Args:
        model: a folder or an id.
        needed: of each of these groups of file names, the folder has at least one.
        from_hub: whether an id on a hub will do.
    """
    folder = Path(model)
    if folder.is_dir():
        missing = [names for names in needed if not any((folder / name).exists() for name in names)]
        return [Problem("model", f"{model} has no {' or '.join(names)}: not a model folder") for names in missing[:1]]
    if not from_hub or folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
        return [Problem("model", f"no such folder: {model}")]
    return []


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
