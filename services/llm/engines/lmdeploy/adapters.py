"""Adapters as the PEFT that LMDeploy asks for can read them: of a newer one's configuration it understands nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: What a newer PEFT writes into every configuration, and what is without effect there.
_INERT = frozenset({"peft_version", "qalora_group_size"})


@contextmanager
def readable(adapters: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yields the folders of adapters with the same weights and what the old PEFT knows of their configurations."""
    with TemporaryDirectory() as scratch:
        folders = {}
        for name, folder in adapters.items():
            made = Path(scratch) / name
            made.mkdir()
            for file in Path(folder).resolve().glob("adapter_model.*"):
                (made / file.name).symlink_to(file)
            config = {key: value for key, value in _read(folder).items() if key in _known()}
            (made / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
            folders[name] = str(made)
        yield folders


def fault(folder: str) -> str:
    """Returns what an adapter has that would be lost, or nothing."""
    unknown = [key for key, value in _read(folder).items() if value and key not in _known() | _INERT]
    return f"uses {', '.join(unknown)}, which LMDeploy does not know" if unknown else ""


def _read(folder: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    return read


def _known() -> frozenset[str]:
    # PEFT takes seconds to import, and most models have no adapters.
    from peft import LoraConfig

    return frozenset(field.name for field in fields(LoraConfig))
