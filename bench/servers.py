"""Real server processes: started, waited for, ended."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

START_TIMEOUT_S = 240.0


@contextmanager
def server(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
) -> Iterator[psutil.Process]:
    """Runs a server while the context is open.

    Args:
        name: of its log, `<name>.log` in `folder`.
        command: what to run.
        folder: for the log.
        ready: whether it answers.
        env: added to our own environment.

    Raises:
        RuntimeError: it ended, or did not answer in time.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
        )
    try:
        begin = time.monotonic()
        while not ready():
            if process.poll() is not None or time.monotonic() > begin + START_TIMEOUT_S:
                raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        _end(process)


def answers(address: str, path: str) -> Callable[[], bool]:
    """Returns a function that says whether a GET is answered with 200."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    return ready


def free_address() -> str:
    """Returns a loopback address that no one listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def our_process(
    module: str,
    settings: Mapping[str, Any],
    folder: Path,
    python: str | Path = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[psutil.Process, dict[str, Any]]]:
    """Runs an edge or a service until the context closes, and waits until its `/readyz` says yes.

    Args:
        module: `gpt_server.edge` or `gpt_server.services.<modality>`.
        settings: its settings file.
        folder: for that file, the log and the announcement.
        python: interpreter.
        env: added to our own environment.

    Yields:
        The process and what it announced: its addresses.
    """
    name = module.rpartition(".")[2]
    announced, file = folder / f"{name}.json", folder / f"{name}.yaml"
    announced.unlink(missing_ok=True)
    file.write_text(yaml.safe_dump({**settings, "announce_file": str(announced)}), encoding="utf-8")

    def ready() -> bool:
        return announced.exists() and answers(json.loads(announced.read_text())["admin"], "/readyz")()

    with server(name, [python, "-m", module, "--config", file], folder, ready, env) as process:
        yield process, json.loads(announced.read_text())


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a server and what it has started."""
    family: list[psutil.Process] = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for one in family:
        if one.is_running():
            one.kill()
