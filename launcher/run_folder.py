"""The files of one running stack: settings and announcements of its processes, the edges' list of replicas.

The folder is readable by its owner only. `stack.json` tells `doctor` and `models` what runs.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from gpt_server.launcher import folders


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of the stack that listens on one port."""

    path: Path

    @classmethod
    def make(cls, port: int) -> "RunFolder":
        """Makes the folder, empty: what an earlier stack on this port left behind is removed."""
        path = folders.state() / f"run-{port}"
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        return cls(path)

    @property
    def discovery_file(self) -> Path:
        """The edges' list of replicas."""
        return self.path / "replicas.json"

    def announce_file(self, name: str) -> Path:
        """Where a process says which ports it has opened."""
        return self.path / f"{name}.announce.json"

    def write_settings(self, name: str, settings: Mapping[str, Any]) -> Path:
        """Writes the settings of a process and returns the file."""
        return _write(self.path / f"{name}.yaml", yaml.safe_dump(dict(settings), sort_keys=False))

    def write_json(self, path: Path, content: Any) -> None:
        """Writes a file in one step, so that nobody reads half of it."""
        _write(path, json.dumps(content, indent=1))

    def write_stack(self, content: Any) -> None:
        """Writes down what runs."""
        self.write_json(self.path / "stack.json", content)

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path)


def _write(path: Path, text: str) -> Path:
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def running_stacks() -> Iterator[dict[str, Any]]:
    """Yields what each stack wrote down whose launcher is alive."""
    for file in sorted(folders.state().glob("run-*/stack.json")):
        try:
            stack: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            started_s = psutil.Process(stack["pid"]).create_time()
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            continue
        if abs(started_s - stack["started_s"]) < 1 and stack["pid"] != os.getpid():
            yield stack
