"""A stack of real processes: `gpt-server up` as a user runs it, on a free port, with a state folder of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import psutil

from gpt_server.common.v1.model_service_pb2 import WatchRequest
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub

START_TIMEOUT_S = 240.0


class RunningStack:
    """`gpt-server up`, its output and what it has written down."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.state = state
        self.lines: list[str] = []
        self._more = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @property
    def url(self) -> str:
        """Address of the edge, from the banner."""
        (found,) = re.findall(r"Ready after \d+ s: (http://\S+)/v1", "\n".join(self.lines))
        return str(found)

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return "\n".join(self.lines)

    async def said(self, text: str, after: int = 0) -> int:
        """Waits for a line that contains `text` and returns the number of the line behind it."""
        with suppress(TimeoutError):  # what was printed instead says more
            async with asyncio.timeout(START_TIMEOUT_S), self._more:
                await self._more.wait_for(lambda: self._reading.done() or self._find(text, after) >= 0)
        found = self._find(text, after)
        assert found >= 0, f"{text!r} was not printed:\n{self.output}"
        return found + 1

    def children(self) -> dict[str, dict[str, Any]]:
        """What runs, by name: pid and ports."""
        (file,) = self.state.glob("gpt-server/run-*/stack.json")
        return {child["name"]: child for child in json.loads(file.read_text())["children"]}

    async def metric(self, child: str, start: str) -> float:
        """Returns the sum of a child's metrics whose lines begin so."""
        admin = self.children()[child]["admin"]
        async with aiohttp.ClientSession() as session, session.get(f"http://{admin}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

    @asynccontextmanager
    async def watching(self, child: str, number: int = 0) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Yields what waits until a service's model, by its place, holds so many slots. No change is missed."""
        async with grpc.aio.insecure_channel(self.children()[child]["grpc"]) as channel:
            pictures = ModelServiceStub(channel).Watch(WatchRequest())

            async def until_running(running: int) -> None:
                async with asyncio.timeout(START_TIMEOUT_S):
                    async for picture in pictures:
                        if picture.models[number].running == running:
                            return

            yield until_running
            pictures.cancel()

    def signal(self, number: signal.Signals) -> None:
        """Sends the launcher a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Waits for the launcher to end and returns its exit code."""
        async with asyncio.timeout(START_TIMEOUT_S):
            code = await self.process.wait()
            await self._reading
        return code

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            async with self._more:
                self.lines.append(line.decode().rstrip("\n"))
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()

    def _find(self, text: str, after: int) -> int:
        return next((i for i, line in enumerate(self.lines) if i >= after and text in line), -1)


@asynccontextmanager
async def stack(
    state: Path, *arguments: str, env: dict[str, str] | None = None, ready: bool = True
) -> AsyncIterator[RunningStack]:
    """Runs `gpt-server up ARGUMENTS`, waits until it is ready, and leaves nothing behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gpt_server.launcher",
        "up",
        *arguments,
        env={**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1", **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    family = psutil.Process(process.pid)
    running = RunningStack(process, state)
    try:
        if ready:
            await running.said("Ctrl-C drains")
        yield running
    finally:
        left = [*family.children(recursive=True), family] if process.returncode is None else []
        for one in left:
            one.kill()
        await running.ended()


def alive(pid: int | None) -> bool:
    """Whether a process runs; one that waits to be reaped does not, nor one that is not there (`None`)."""
    if pid is None:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    """Waits until a process has ended that is not a child of ours."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while alive(pid):
            await asyncio.sleep(0.02)
