"""What can be said of a model without its library: whether its folder is one, and what it can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpt_server.services.llm.engine import Capability, Problem


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


def capabilities(*, chats: bool, reasons: bool, calls: bool, sees: bool = False) -> frozenset[Capability]:
    """Returns what a causal language model can do, in an engine that keeps to forms and reports log-probabilities."""
    further: dict[Capability, bool] = {"chat": chats, "reasoning": reasons, "tools": calls, "image_input": sees}
    found: set[Capability] = {"completion", "structured_output", "logprobs"}
    return frozenset(found | {name for name, can in further.items() if can})
