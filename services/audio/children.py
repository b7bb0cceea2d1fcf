"""Libraries in processes of their own: those that hold the interpreter for long, or whose licence asks for it.

A request has a child for itself. A caller who leaves early leaves a child in the middle of its work: it is killed, and
another takes its place. A child whose parent is gone finds the end of its input, and ends.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence

from gpt_server.services.audio.frames import HEAD, packed
from gpt_server.services.common.child_process import start_child
from gpt_server.services.common.errors import EngineUnavailable


class _Child:
    """One process, started when it is first needed. It is spoken to through a socket, its standard input and output."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def started(self) -> None:
        """Returns when it is ready. Raises `EngineUnavailable`: it has died before."""
        if self._process is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = start_child([sys.executable, "-m", *self._command], stdin=theirs, stdout=theirs)
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            await self._read()

    async def answers(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Sends a request and yields what comes, until its end. Raises `EngineUnavailable`: the process has died."""
        assert self._writer is not None  # noqa: S101 (started)
        try:
            self._writer.write(packed(request))
            await self._writer.drain()
        except ConnectionError:
            raise self._dead() from None
        while frame := await self._read():
            yield frame

    def kill(self) -> None:
        """Ends the process at once."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            self._process.kill()

    async def ended(self) -> None:
        """Returns when the process is gone, if there ever was one."""
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    async def _read(self) -> bytes:
        assert self._reader is not None  # noqa: S101 (started)
        try:
            (length,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
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
        self._dying: set[asyncio.Task[None]] = set()
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
        finally:  # nothing is awaited here: who is cancelled twice would take the child with them
            self.busy -= 1
            self._idle.put_nowait(child if whole else self._replace(child))

    async def close(self) -> None:
        """Ends all of them."""
        for child in self._all:
            child.kill()
        await asyncio.gather(*self._dying, *[child.ended() for child in self._all])

    def _replace(self, child: _Child) -> _Child:
        child.kill()
        ending = asyncio.create_task(child.ended())
        self._dying.add(ending)
        ending.add_done_callback(self._dying.discard)
        self._all.remove(child)
        self._all.append(_Child(self._command))
        return self._all[-1]
