"""How the launcher asks a process how it is."""

import asyncio
import socket

import pytest

from gpt_server.launcher.admin import Readiness, readiness


async def answer(said: bytes) -> Readiness | None:
    """Returns what the launcher makes of a process that says this."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /readyz HTTP/1.")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        return await readiness(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")


HEAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (HEAD + b'{"ready": false, "models": {"a": "loading"}}', Readiness(False, {"a": "loading"})),
        (HEAD + b'{"ready": true}', Readiness(True, {})),
        (HEAD + b"[]", None),
        (HEAD + b"{", None),
        (b"", None),
    ],
)
async def test_answer_is_read(said: bytes, means: Readiness | None) -> None:
    assert await answer(said) == means


async def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await readiness(f"127.0.0.1:{port}") is None
