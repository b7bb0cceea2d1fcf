"""`gpt-server up`: what the command line asks for, as a configuration, and the stack that comes of it."""

import argparse
import asyncio
import re
import sys
from pathlib import Path

from gpt_server.launcher import demo
from gpt_server.launcher.checks import check as check_processes
from gpt_server.launcher.config import StackConfig
from gpt_server.launcher.config import check as check_file
from gpt_server.launcher.console import Console
from gpt_server.launcher.consul import LocalConsul
from gpt_server.launcher.plan import plan
from gpt_server.launcher.stack import Stack, config_path
from gpt_server.launcher.yaml_file import BadConfig, YamlFile, read


async def run(flags: argparse.Namespace) -> int:
    """Runs the stack until a signal ends it and returns the exit code. Raises `BadConfig`."""
    if sys.version_info < (3, 12):  # later versions choose it themselves; a thread would not go with preexec_fn
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.get_event_loop_policy().set_child_watcher(watcher)
    agent = LocalConsul.find() if flags.consul else None
    return await Stack(lambda: configuration(flags, agent), sys.executable, Console(), agent).run()


async def check(flags: argparse.Namespace) -> int:
    """Says that the configuration is right. Raises `BadConfig` if it is not."""
    config, file = configuration(flags, LocalConsul.find() if flags.consul else None)
    await check_processes(plan(config, file, sys.executable), file)
    print(f"{file.path or 'the configuration'} is right")
    return 0


def configuration(flags: argparse.Namespace, agent: LocalConsul | None = None) -> tuple[StackConfig, YamlFile]:
    """Returns the configuration that the flags ask for, with a Consul agent of the stack's own. Raises `BadConfig`."""
    file = _of_model(flags) if flags.model else demo.prepared(read(config_path(flags.config)))
    edge = {name: getattr(flags, name) for name in ("host", "port") if getattr(flags, name) is not None}
    if edge and isinstance(file.content.get("edge", {}), dict):
        file.content["edge"] = {**file.content.get("edge", {}), **edge}
    if agent is not None:
        consul = file.content.get("consul") or {}
        if not isinstance(consul, dict) or "address" in consul:
            raise BadConfig([file.problem(("consul",), "names an agent, and --consul asks for another; take one away")])
        file.content["consul"] = {**consul, "address": agent.address}
    return check_file(file), file


def _of_model(flags: argparse.Namespace) -> YamlFile:
    """Returns a configuration of the one model that the command line names."""
    name = flags.name or Path(flags.model).name
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "model"
    model = {
        "service": flags.service,
        "engine": flags.engine,
        "model": flags.model,
        "gpus": flags.gpus,
        "names": [name],
    }
    return YamlFile(None, {"models": {key: model}}, {})
