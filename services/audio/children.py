"""Libraries in processes of their own: those that hold the interpreter for long, or whose licence asks for it.

A request has a child for itself. A caller who leaves early leaves a child in the middle of its work: it is killed, and
another takes its place. A child whose parent is gone finds the end of its input, and ends.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence

from gpt_server.services.audio.frames import HEAD, packed
from gpt_server.services.common.errors import EngineUnavailable


class _Child:
    """One process, started when it is first needed."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: Process | None = None

    async def started(self) -> None:
        """Returns when it is ready. Raises `EngineUnavailable`: it has died before."""
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._command, stdin=PIPE, stdout=PIPE
            )
            await self._read()

    async def answers(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Sends a request and yields what comes, until its end. Raises `EngineUnavailable`: the process has died."""
        assert self._process is not None  # noqa: S101 (started)
        assert self._process.stdin is not None  # noqa: S101 (a pipe)
        try:
            self._process.stdin.write(packed(request))
            await self._process.stdin.drain()
        except ConnectionError:
            raise self._dead() from None
        while frame := await self._read():
            yield frame

    async def end(self) -> None:
        """Kills the process."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process._transport.close()  # type: ignore[attr-defined]  # nothing else closes the pipes

    async def _read(self) -> bytes:
        assert self._process is not None  # noqa: S101 (started)
        assert self._process.stdout is not None  # noqa: S101 (a pipe)
        try:
            (length,) = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
            return await self._process.stdout.readexactly(length)
        except asyncio.IncompleteReadError:
            raise self._dead() from None

    def _dead(self) -> EngineUnavailable:
        return EngineUnavailable(f"a process of the engine has ended: {self._command[0]}")


class Children:
    """So many processes of a module of ours.

    Args:
        command: the module and its arguments. It answers as `frames.answer_requests` does.
        count: how many.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = command
        self._count = count
        self._all = [_Child(command) for _ in range(count)]
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self.busy = 0
        """How many have a request now."""

    async def start(self) -> None:
        """Starts all of them. Raises `EngineUnavailable`: one has ended at once."""
        await asyncio.gather(*[child.started() for child in self._all])
        for child in self._all:
            self._idle.put_nowait(child)

    async def answers(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Yields what one of them answers. Closing it early ends the work. Raises `EngineUnavailable`."""
        child = await self._idle.get()
        self.busy += 1
        whole = False
        try:
            await child.started()
            answers = child.answers(request)
            async for answer in answers:
                yield answer
            whole = True
        finally:
            if not whole:
                self._all.remove(child)
                dying, child = child, _Child(self._command)
                self._all.append(child)
                await dying.end()
            self.busy -= 1
            self._idle.put_nowait(child)

    async def close(self) -> None:
        """Ends all of them."""
        await asyncio.gather(*[child.end() for child in self._all])
