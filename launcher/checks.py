"""Asks every process whether its settings are right, in its own environment, before anything is started."""

import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from gpt_server.launcher.plan import Plan, Process
from gpt_server.launcher.yaml_file import BadConfig, YamlFile


async def check(stack: Plan, file: YamlFile) -> None:
    """Returns if all settings are right. Raises `BadConfig`: a line for each that is not, at its place in the file."""
    # Replicas of a model differ in nothing that can be wrong, and edges in nothing at all.
    services = {process.models: process for process in stack.services}.values()
    with tempfile.TemporaryDirectory() as scratch:
        asked = [_ask(process, file, Path(scratch)) for process in (*stack.edges[:1], *services)]
        problems = [problem for found in await asyncio.gather(*asked) for problem in found]
    if problems:
        raise BadConfig(problems)


async def _ask(process: Process, file: YamlFile, scratch: Path) -> Sequence[str]:
    settings = scratch / f"{process.name}.yaml"
    settings.write_text(yaml.safe_dump(dict(process.settings)), encoding="utf-8")
    command = (process.python, "-m", process.module, "--check", "--config", str(settings))
    piped = asyncio.subprocess.PIPE
    try:
        asked = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **process.env}, stdin=asyncio.subprocess.DEVNULL, stdout=piped, stderr=piped
        )
    except OSError as error:
        key = ("models", process.models[0], "local", "python") if process.models else ()
        return [file.problem(key, f"{process.python}: {error.strerror}")]
    out, err = await asked.communicate()
    try:
        found = json.loads(out)
    except ValueError:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        remedy = "" if process.models else "; install what it needs: pip install 'gpt-server[edge]'"
        return [f"{process.name}: {process.python} cannot run {process.module}: {last}{remedy}"]
    return [file.problem(_key(process, problem["key"]), problem["message"]) for problem in found]


def _key(process: Process, key: str) -> list[str | int]:
    """Turns a key of a process's settings into the one of the user's file that it came from."""
    path: list[str | int] = [int(step) if step.isdigit() else step for step in key.split(".") if step]
    if path[:1] in (["log"], ["drain_timeout_s"], ["consul"]):
        return path
    if not process.models:
        return ["edge", *path]
    return ["models", process.models[0], "local", *path[1:]] if path[:1] == ["grpc"] else path
