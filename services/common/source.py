"""Where a model comes from: a folder, or an id on a hub."""

from collections.abc import Sequence
from pathlib import Path

from gpt_server.services.common.engines import Problem


def check_model(model: str, *needed: Sequence[str], from_hub: bool = True) -> Sequence[Problem]:
    """Returns what is wrong with a model's folder; nothing if `model` may be an id on a hub.

    Args:
        model: a folder or an id.
        needed: of each of these groups of file names, the folder has at least one.
        from_hub: whether an id on a hub will do.
    """
    folder = Path(model)
    if folder.is_dir():
        missing = [names for names in needed if not any((folder / name).is_file() for name in names)]
        return [Problem("model", f"{model} has no {' or '.join(names)}: not a model folder") for names in missing[:1]]
    if not from_hub or folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
        return [Problem("model", f"no such folder: {model}")]
    return []
