"""`gpt-server models`: what is configured, what runs where, and what lies in the hub's cache."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpt_server.launcher import admin, folders
from gpt_server.launcher.config import StackConfig, load
from gpt_server.launcher.doctor import memory_of
from gpt_server.launcher.run_folder import running_stacks
from gpt_server.launcher.stack import config_path

MIB = 1024**2


async def run(given: Path | None) -> int:
    """Prints the three lists. Raises `BadConfig`: the file is wrong."""
    path = config_path(given)
    config, _ = await asyncio.to_thread(load, path)
    print(f"Configured in {path}:")
    for line in _configured(config):
        print(f"  {line}")
    for stack in running_stacks():
        print(f"Running on {stack['url']}:")
        for line in await asyncio.gather(*[_running(child) for child in stack["children"] if child["models"]]):
            print(f"  {line}")
    if downloaded := sorted(_downloaded(folders.hub(config.hub.home))):
        print("Downloaded from the hub:")
        for name in downloaded:
            print(f"  {name}")
    return 0


def _configured(config: StackConfig) -> Iterator[str]:
    for key, model in config.models.items():
        names = ", ".join(config.served_names(key))
        yield f"{key:20} {model.service}/{model.engine} × {model.replicas}  {model.model}  served as {names}"


async def _running(child: dict[str, Any]) -> str:
    answer = await admin.readiness(child["admin"]) if "admin" in child else None
    states = answer.models if answer else dict.fromkeys(child["models"], "starting")
    said = ", ".join(f"{model} {state}" for model, state in states.items())
    return f"{child['name']:20} {said}  gRPC {child.get('grpc', '–')}  {memory_of(child['pid']) / MIB:.0f} MiB"


def _downloaded(hub: Path) -> Iterator[str]:
    for folder in hub.glob("models--*"):
        yield folder.name.removeprefix("models--").replace("--", "/")
