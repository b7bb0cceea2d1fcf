"""One process of the stack: started, listened to, restarted when it crashes, ended when told to.

A child has a process group of its own, so that Ctrl-C reaches the launcher alone, and a parent-death signal, so that
it does not outlive a launcher that was killed.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from gpt_server.launcher.console import Console
from gpt_server.launcher.plan import Process
from gpt_server.launcher.run_folder import RunFolder

BAD_SETTINGS = 2
BACK_OFF_S = (1.0, 30.0)
HEALTHY_S = 60.0
"""A child that lived this long starts again at the shortest pause."""
ANNOUNCE_PERIOD_S = 0.05
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A process and its restarts.

    Attributes:
        process: what it is.
        ports: what it has announced, with its pid; empty until then, and while it does not run.
        exit_code: of its last end; `None` while it runs.
    """

    def __init__(
        self,
        process: Process,
        folder: RunFolder,
        console: Console,
        changed: Callable[[], None],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.process = process
        self.ports: dict[str, Any] = {}
        self.exit_code: int | None = None
        self._folder = folder
        self._console = console
        self._changed = changed
        self._pass_fds = pass_fds
        self._running: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._running.pid if self._running else None

    async def run(self, settings: dict[str, Any]) -> None:
        """Keeps the process running until `stop`, or until it says that its settings are wrong.

        Args:
            settings: content of its settings file.
        """
        file = self._folder.write_settings(self.process.name, settings)
        pause_s = BACK_OFF_S[0]
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            self.exit_code = await self._live(file)
            if self._stopping.is_set() or self.exit_code == BAD_SETTINGS:
                return
            if asyncio.get_running_loop().time() - began > HEALTHY_S:
                pause_s = BACK_OFF_S[0]
            self._console.say(
                f"{self.process.name} has ended ({_how(self.exit_code)}); starting it again in {pause_s:g} s"
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(pause_s * 2, BACK_OFF_S[1])

    def stop(self) -> None:
        """Tells the process to drain; `run` returns when it has ended."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _live(self, settings: Path) -> int:
        announce = self._folder.announce_file(self.process.name)
        announce.unlink(missing_ok=True)
        self._running = await asyncio.create_subprocess_exec(
            self.process.python,
            "-m",
            self.process.module,
            "--config",
            str(settings),
            env={**os.environ, **self.process.env, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=self._pass_fds,
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        self._changed()
        announced = asyncio.create_task(self._await_announcement(announce))
        try:
            if (output := self._running.stdout) is not None:
                async for line in _lines(output):
                    self._console.child(self.process.name, line)
            return await self._running.wait()
        finally:
            announced.cancel()
            self._running, self.ports = None, {}
            self._changed()

    async def _await_announcement(self, file: Path) -> None:
        while not file.exists():  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(ANNOUNCE_PERIOD_S)
        self.ports = json.loads(file.read_text(encoding="utf-8"))
        self._changed()

    def _signal(self, number: signal.Signals) -> None:
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.send_signal(number)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """Returns what a child does before it becomes its program."""

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return prepare


async def _lines(stream: asyncio.StreamReader, limit: int = 16_384) -> AsyncIterator[str]:
    """Yields lines as they are finished; one over `limit` bytes in pieces."""
    rest = b""
    while piece := await stream.read(65_536):
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > limit:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
