"""A library's own HTTP server as a child of this process, on loopback: for libraries that have no other door.

The child has a process group of its own, so that whatever it has started ends with it, and does not outlive this
process (`tied.py`). It listens on 127.0.0.1 alone, and is told a key that nobody else knows.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from gpt_server.services.common.child_process import start_child

TIED = "gpt_server.services.common.tied"
PULSE_S = 0.2
PATIENCE_S = 10.0
"""How long a child may take to end itself."""


class Refused(Exception):
    """The child has answered with an error. `status`: of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ChildServer:
    """One child.

    Args:
        command: what to run, given the port that it is to listen on.
        key_variable: environment variable in which it is told its key; callers without it are refused, if it heeds it.
        ready_path: answers 200 once it takes requests.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], key_variable: str, ready_path: str = "/health") -> None:
        self._command = command
        self._key_variable = key_variable
        self._ready_path = ready_path
        self._key = secrets.token_urlsafe(32)
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._watching: asyncio.Task[None] | None = None
        #: Set when the child has ended by itself.
        self.died = asyncio.Event()

    async def start(self, timeout_s: float) -> None:
        """Runs the child and returns when it takes requests.

        Raises:
            RuntimeError: it has ended, or does not take requests in time. What it had to say is in our own output.
        """
        port = _free_port()
        headers = {"Authorization": f"Bearer {self._key}"}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5)
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, timeout=limits)
        self._process = start_child(
            [sys.executable, "-m", TIED, str(os.getpid()), *self._command(port)],
            env={**os.environ, self._key_variable: self._key},
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
        self._watching = asyncio.create_task(self._watch(self._process))
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._is_ready():
                    if self.died.is_set():
                        raise RuntimeError(
                            f"it has ended with exit code {self._process.returncode}; see its output above"
                        )
                    await asyncio.sleep(PULSE_S)
        except TimeoutError:
            raise RuntimeError(f"it did not take requests within {timeout_s:g} s") from None

    async def get(self, path: str) -> Any:
        """Returns a JSON document of the child's. Raises `Refused`."""
        async with self._running().get(path) as response:
            await _check(response)
            return await response.json()

    async def post(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[bytes, None]:
        """Yields what the child answers, as it comes. Closing it early closes the connection.

        Raises:
            Refused: it answers with an error.
            ConnectionError: it is gone, or breaks off.
        """
        try:
            async with self._running().post(path, json=body) as response:
                await _check(response)
                async for piece in response.content.iter_any():
                    yield piece
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Ends the child and everything that it has started."""
        if self._watching is not None:
            self._watching.cancel()
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            await _end(self._process)

    def _running(self) -> aiohttp.ClientSession:
        if self._session is None or self.died.is_set():
            raise ConnectionError("it does not run")
        return self._session

    async def _is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            async with self._running().get(self._ready_path) as response:
                return response.status == 200
        return False

    async def _watch(self, process: subprocess.Popen[bytes]) -> None:
        await _ended(process)
        self.died.set()


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises `Refused` with the message of OpenAI's error object, or with the text that came instead."""
    if response.status < 400:
        return
    text = (await response.text())[:2000]
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = await response.json(content_type=None)
        text = str(found["error"]["message"] if "error" in found else found.get("detail", text))
    raise Refused(response.status, text)


async def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await _ended(process)
        os.killpg(process.pid, signal.SIGKILL)
    await _ended(process)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    await asyncio.to_thread(process.wait)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
