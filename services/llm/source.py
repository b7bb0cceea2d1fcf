"""What can be said of a model without its library: whether its folder is one, and what it can do."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpt_server.services.common.arguments import check_model as check_model
from gpt_server.services.llm.engine import Capability, Problem


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
