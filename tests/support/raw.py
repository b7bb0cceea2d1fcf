"""HTTP by hand: what stands on the wire, chunk by chunk, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

LIMIT_S = 20.0  # only so that a failure ends


@dataclass
class RawAnswer:
    """An answer that is being read.

    Attributes:
        chunks: pieces of the chunked body that have been read.
        complete: whether the body's terminal chunk has come.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        """What has been read."""
        return b"".join(self.chunks)

    async def read_head(self) -> None:
        """Reads status and headers."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LIMIT_S)).decode("latin-1")
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines if line)

    async def read_chunk(self) -> bytes | None:
        """Reads one chunk; `None` when the body, or the connection, has ended."""
        line = await asyncio.wait_for(self.reader.readline(), LIMIT_S)
        if not line:
            return None
        size = int(line, 16)
        piece = await asyncio.wait_for(self.reader.readexactly(size + 2), LIMIT_S)
        if size == 0:
            self.complete = True
            return None
        self.chunks.append(piece[:-2])
        return piece[:-2]

    async def read_all(self) -> bytes:
        """Reads to the end of the body, or of the connection."""
        while await self.read_chunk() is not None:
            pass
        return self.body

    async def read_json(self) -> Any:
        """Reads a body that is not chunked: one JSON document."""
        length = int(self.headers["content-length"])
        return json.loads(await asyncio.wait_for(self.reader.readexactly(length), LIMIT_S))

    async def read_until(self, text: bytes) -> None:
        """Reads until `text` has come."""
        while text not in self.body:
            assert await self.read_chunk() is not None, f"ended without {text!r}: {self.body!r}"

    def leave(self) -> None:
        """Closes the connection without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def raw_post(
    url: str, path: str, body: Any, *, read_head: bool = True, headers: Mapping[str, str] | None = None
) -> AsyncIterator[RawAnswer]:
    """Posts JSON. With `read_head`, the context opens when the head of the answer is there."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    content = json.dumps(body).encode()
    all_headers = {
        "host": "test",
        "content-type": "application/json",
        "content-length": len(content),
        **(headers or {}),
    }
    lines = [f"{name}: {value}" for name, value in all_headers.items()]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""])
    writer.write(head.encode() + content)
    answer = RawAnswer(reader, writer)
    try:
        if read_head:
            await answer.read_head()
        yield answer
    finally:
        writer.transport.abort()


def events_of(body: bytes) -> list[Any]:
    """Returns the JSON documents of a body of events; comments and `[DONE]` left out."""
    events = [event for event in body.split(b"\n\n") if event.startswith(b"data: ") and event != b"data: [DONE]"]
    return [json.loads(event.removeprefix(b"data: ")) for event in events]
