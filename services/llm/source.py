"""What can be said of a model without its library: whether its adapters are such, and what it can do."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt_server.services.llm.engine import Capability, EngineConfig, Problem


def check_adapters(config: EngineConfig) -> Sequence[Problem]:
    """Returns which adapters are no folders of an adapter in PEFT's format, and whether there is a folder of more."""
    problems = [
        Problem(f"adapters.{name}", f"{folder} has no adapter_config.json: not an adapter's folder")
        for name, folder in config.adapters.items()
        if not (Path(folder) / "adapter_config.json").is_file()
    ]
    if config.adapter_folder is not None and not config.adapter_folder.is_dir():
        problems.append(Problem("adapter_folder", f"no such folder: {config.adapter_folder}"))
    return problems


def known_adapters(config: EngineConfig) -> Sequence[Mapping[str, Any]]:
    """Returns what each adapter says of itself that is configured or lies in the folder of more."""
    files = [Path(folder) / "adapter_config.json" for folder in config.adapters.values()]
    if config.adapter_folder is not None:
        files += config.adapter_folder.glob("*/adapter_config.json")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def capabilities(*, chats: bool, reasons: bool, calls: bool, sees: bool = False) -> frozenset[Capability]:
    """Returns what a causal language model can do, in an engine that keeps to forms and reports log-probabilities."""
    further: dict[Capability, bool] = {"chat": chats, "reasoning": reasons, "tools": calls, "image_input": sees}
    found: set[Capability] = {"completion", "structured_output", "logprobs"}
    return frozenset(found | {name for name, can in further.items() if can})
