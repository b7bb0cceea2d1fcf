"""`gpt-server doctor`: what is there, what is missing, and what to do about each problem."""

import asyncio
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from gpt_server.launcher import consul, engines
from gpt_server.launcher.checks import check
from gpt_server.launcher.config import StackConfig, load
from gpt_server.launcher.plan import plan
from gpt_server.launcher.run_folder import running_stacks
from gpt_server.launcher.stack import config_path, listen
from gpt_server.launcher.yaml_file import BadConfig

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report. `stops`: `gpt-server up` would not start with this."""

    text: str
    wrong: bool = False
    stops: bool = False


async def run(given: Path | None) -> int:
    """Prints the report and returns 1 if `gpt-server up` would not start, else 0."""
    path = config_path(given)
    findings = [*_machine(), *_gpus(), *_engines(), *_running(), *await _configuration(path)]
    for finding in findings:
        print(f"{'✗' if finding.stops else '!' if finding.wrong else '✓'} {finding.text}")
    return 1 if any(finding.stops for finding in findings) else 0


def _machine() -> Iterator[Finding]:
    yield Finding(f"Python {platform.python_version()}, {sys.executable}")
    memory = psutil.virtual_memory()
    free_gib, all_gib = memory.available / GIB, memory.total / GIB
    text = f"{psutil.cpu_count()} cores, {free_gib:.1f} of {all_gib:.1f} GiB of memory free"
    little = free_gib < 2
    yield Finding(text + (": a service needs about 1 GiB and its model; close something" if little else ""), little)


def _gpus() -> Iterator[Finding]:
    tool = shutil.which("nvidia-smi")
    query = ["--query-gpu=index,name,memory.used,memory.total", "--format=csv,noheader"]
    done = subprocess.run([tool, *query], capture_output=True, text=True, check=False) if tool else None
    if done is None:
        yield Finding("no GPU found (no nvidia-smi): models run on the CPU, with gpus: 0")
    elif done.returncode:
        yield Finding(
            f"nvidia-smi fails, so the driver does not work: {done.stdout.strip() or done.stderr.strip()}", True
        )
    else:
        yield from (Finding(f"GPU {line}") for line in done.stdout.strip().splitlines())


def _engines() -> Iterator[Finding]:
    for engine in engines.ENGINES:
        python = engine.python
        well = python is not None and engine.is_whole(python)
        state = f"runs in {python}" if well else f"is broken in {python}" if python else "is not installed"
        remedy = "" if well else f"; install it with: gpt-server engines install {engine.name}"
        yield Finding(f"engine {engine.name} ({engine.service}) {state}{remedy}", not well)


def _running() -> Iterator[Finding]:
    for stack in running_stacks():
        yield Finding(f"a stack runs on {stack['url']} (launcher pid {stack['pid']})")
        for child in stack["children"]:
            memory_gib = memory_of(child["pid"]) / GIB
            ports = ", ".join(f"{kind} {child[kind]}" for kind in ("grpc", "http", "admin") if kind in child)
            down = child["pid"] is None
            yield Finding(f"  {child['name']}: {'does not run' if down else f'{memory_gib:.2f} GiB, {ports}'}", down)


def memory_of(pid: int | None) -> int:
    """Returns the resident memory of a process and its children in bytes; 0 if it does not run."""
    try:
        process = psutil.Process(pid) if pid else None
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) if process else 0
    except psutil.Error:
        return 0


async def _configuration(path: Path) -> list[Finding]:
    try:
        config, file = await asyncio.to_thread(load, path)
        await check(plan(config, file, sys.executable), file)
    except BadConfig as error:
        return [Finding(problem, stops=True) for problem in error.problems]
    return [
        Finding(f"{path}: {len(config.models)} models, all settings are right"),
        _port(config),
        *await _consul(config),
    ]


def _port(config: StackConfig) -> Finding:
    edge = config.edge
    if any(stack["url"].endswith(f":{edge.port}") for stack in running_stacks()):
        return Finding(f"port {edge.port} is the one of the running stack")
    try:
        listen(edge.host, edge.port).close()
    except BadConfig as error:
        return Finding(str(error), stops=True)
    return Finding(f"port {edge.port} on {edge.host} is free")


async def _consul(config: StackConfig) -> list[Finding]:
    if config.consul is None:
        return []
    address = config.consul.address or consul.DEFAULT_ADDRESS
    try:
        leader = await asyncio.to_thread(consul.leader, config.consul)
    except (OSError, ValueError) as error:
        why = f"does not answer: {getattr(error, 'reason', error)}"
        return [Finding(f"Consul at {address} {why}; start an agent there, or run gpt-server up --consul", True)]
    if not leader:
        return [Finding(f"Consul at {address} has no leader: too few of its servers are alive", True)]
    return [Finding(f"Consul at {address} answers; its leader is {leader}")]
