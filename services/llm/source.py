"""Where a model comes from: a folder or an id on a hub. What can be said of it without loading anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpt_server.services.llm.engine import Problem


def check_model(model: str, *needed: Sequence[str]) -> Sequence[Problem]:
    """Returns what is wrong with a model's folder; nothing if `model` may be an id on a hub.

    Args:
        model: a folder or an id.
        needed: of each of these groups of file names, the folder has at least one.
    """
    folder = Path(model)
    if folder.is_dir():
        missing = [names for names in needed if not any((folder / name).is_file() for name in names)]
        return [Problem("model", f"{model} has no {' or '.join(names)}: not a model folder") for names in missing[:1]]
    if folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
        return [Problem("model", f"no such folder: {model}")]
    return []


def check_adapters(adapters: Mapping[str, str]) -> Sequence[Problem]:
    """Returns which adapters are no folders of an adapter in PEFT's format."""
    return [
        Problem(f"adapters.{name}", f"{folder} has no adapter_config.json: not an adapter's folder")
        for name, folder in adapters.items()
        if not (Path(folder) / "adapter_config.json").is_file()
    ]
