"""One process of the stack: started, listened to, restarted when it crashes, ended when told to.

A child has a process group of its own, so that Ctrl-C reaches the launcher alone and whatever the child has started
ends with it, and a parent-death signal, so that it does not outlive a launcher that was killed.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt_server.launcher import admin
from gpt_server.launcher.console import Console
from gpt_server.launcher.plan import Process
from gpt_server.launcher.run_folder import RunFolder

BAD_SETTINGS = 2
EXIT_CODES = {3: "a model failed to load", 4: "its engine died"}
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
HEALTHY_S = 60.0
"""A child that lived this long starts again after the shortest pause."""
POLL_S = 0.1
LAST_WORDS_S = 1.0
"""How long the output of a child that has ended may still come."""
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A process and its restarts.

    Attributes:
        process: what it is.
        ports: what it has announced, with its pid; empty until then, and while it does not run.
        ready: whether it takes requests.
        began_s: when it was started, the last time, on the event loop's clock.
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
        self.ready = False
        self.began_s = 0.0
        self.exit_code: int | None = None
        self._folder = folder
        self._console = console
        self._changed = changed
        self._pass_fds = pass_fds
        self._running: asyncio.subprocess.Process | None = None
        self._end: signal.Signals | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._running.pid if self._running else None

    async def run(self, settings: Mapping[str, Any]) -> None:
        """Keeps the process running until `stop`, or until it says that its settings are wrong.

        Args:
            settings: content of its settings file.
        """
        file = self._folder.write_settings(self.process.name, settings)
        pause_s = 0.0
        while not self._ending.is_set():
            self.exit_code = await self._live(file)
            if self._ending.is_set():
                return
            if self.exit_code == BAD_SETTINGS:
                self._say("cannot run with its settings; it is not started again")
                return
            pause_s = pause_after(pause_s, _now_s() - self.began_s)
            self._say(f"has ended ({_how(self.exit_code)}); starting it again in {pause_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._ending.wait()

    def stop(self) -> None:
        """Tells the process to drain; `run` returns when it has ended."""
        self._end = signal.SIGTERM
        self._pass_on_end()

    def kill(self) -> None:
        """Ends the process at once, and everything it has started."""
        self._end = signal.SIGKILL
        self._pass_on_end()

    async def _live(self, settings: Path) -> int:
        """Runs the process once and returns its exit code, negative for a signal."""
        announce = self._folder.announce_file(self.process.name)
        announce.unlink(missing_ok=True)
        self.began_s, self.exit_code = _now_s(), None
        output, theirs = os.pipe()
        telling = asyncio.create_task(self._tell(output))
        try:
            self._running = await self._spawn(settings, theirs)
        except OSError as error:
            self._say(f"cannot be started: {self.process.python}: {error.strerror}")
            return os.EX_UNAVAILABLE
        finally:
            os.close(theirs)
            if self._running is None:
                await telling
        following = asyncio.create_task(self._follow(announce))
        try:
            self._pass_on_end()
            self._changed()
            return await self._running.wait()
        finally:
            following.cancel()
            _kill_group(self._running.pid)
            await asyncio.wait([telling], timeout=LAST_WORDS_S)
            telling.cancel()
            self._running, self.ports, self.ready = None, {}, False
            self._changed()

    async def _spawn(self, settings: Path, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command(settings),
            env={**self.process.defaults, **os.environ, **self.process.env, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=self._pass_fds,
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),
        )

    def _command(self, settings: Path) -> Sequence[str]:
        return self.process.python, "-m", self.process.module, "--config", str(settings)

    async def _follow(self, announce: Path) -> None:
        """Learns the ports as soon as they are open, and then when the process takes requests."""
        self.ports = await self._announced(announce)
        self._changed()
        while not await self._is_ready():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        self.ready = True
        self._say(f"is ready after {_now_s() - self.began_s:.0f} s")
        self._changed()

    async def _announced(self, announce: Path) -> dict[str, Any]:
        while not announce.exists():  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(POLL_S)
        ports: dict[str, Any] = json.loads(announce.read_text(encoding="utf-8"))
        return ports

    async def knows(self, models: Iterable[str]) -> bool:
        """Says whether the process, an edge, has each of these models ready."""
        answer = await admin.readiness(self.ports["admin"]) if "admin" in self.ports else None
        return answer is not None and all(answer.models.get(name) == "ready" for name in models)

    async def _is_ready(self) -> bool:
        answer = await admin.readiness(self.ports["admin"])
        return answer is not None and answer.ready

    async def _tell(self, output: int) -> None:
        async for line in lines(output):
            self._console.child(self.process.name, line)

    def _say(self, text: str) -> None:
        self._console.say(f"{self.process.name} {text}")

    def _pass_on_end(self) -> None:
        """Signals the process if it is to end; a start that is under way comes back here."""
        if self._end is None:
            return
        self._ending.set()
        if self._running is None or self._running.returncode is not None:
            return
        if self._end is signal.SIGKILL:
            _kill_group(self._running.pid)
        else:
            self._running.send_signal(self._end)


def pause_after(earlier_s: float, lived_s: float) -> float:
    """Returns how long to wait before a child is started again.

    Args:
        earlier_s: the pause before its last start; 0 if there was none.
        lived_s: how long it has lived since.
    """
    if not earlier_s or lived_s >= HEALTHY_S:
        return SHORTEST_PAUSE_S
    return min(earlier_s * 2, LONGEST_PAUSE_S)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """Returns what a child does before it becomes its program."""

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return prepare


async def lines(output: int, limit: int = 16_384) -> AsyncIterator[str]:
    """Yields the lines that come out of a pipe as they are finished; one over `limit` bytes in pieces."""
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb", 0)
    )
    rest = b""
    with contextlib.closing(transport):
        while piece := await stream.read(65_536):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > limit:
                lines, rest = [*lines, rest], b""
            for line in lines:
                yield _text(line)
        if rest:
            yield _text(rest)


def _text(line: bytes) -> str:
    """Returns a line as a terminal would leave it: of what a progress bar has overwritten, the last."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]


def _how(code: int) -> str:
    if code < 0:
        return signal.Signals(-code).name
    return EXIT_CODES.get(code, f"exit code {code}")
