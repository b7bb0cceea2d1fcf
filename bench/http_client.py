"""A load client for OpenAI's chat API: raw sockets, no parser, so that it is not what limits a server."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from bench.client import ask_all, main
from bench.load import QUESTION, Load, Seen

TEXT = re.compile(rb'"content": ?"[^"]')
TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)


class Answer:
    """One answer as it arrives."""

    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.texts_s: list[float] = []
        self.ended_s = 0.0
        self.body = bytearray()
        self._length = 0

    def take(self, piece: bytes) -> bool:
        """Notes what has come. Returns whether the answer is whole."""
        now, before = time.perf_counter(), len(self.body)
        self.body += piece
        if not before and (found := LENGTH.search(piece)):
            self._length = piece.index(b"\r\n\r\n") + 4 + int(found[1])
        if TEXT.search(self.body, before):
            self.texts_s.append(now)
        self.ended_s = now
        return len(self.body) == self._length or self.body.endswith(b"\r\n0\r\n\r\n")

    @property
    def tokens(self) -> int:
        """What its usage says."""
        if not self.body.startswith(b"HTTP/1.1 200") or not (found := TOKENS.findall(self.body)):
            raise RuntimeError(f"answered with {bytes(self.body[-2000:])!r}")
        return int(found[-1])

    @property
    def writes(self) -> int:
        """Events that it came in."""
        return self.body.count(b"\r\ndata: ")


class Connection(asyncio.Protocol):
    """A connection that asks one question after the other, and reads answers of one kind."""

    def __init__(self, kind: type[Answer]) -> None:
        self._kind = kind
        self._answer = kind()
        self._whole: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes) -> Answer:
        """Returns the answer to a request."""
        self._answer, self._whole = self._kind(), asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._whole

    def data_received(self, data: bytes) -> None:
        """Takes a piece of the answer."""
        if self._answer.take(data):
            self._whole.set_result(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the answer that was not whole."""
        if not self._whole.done():
            self._whole.set_exception(RuntimeError(f"cut off after {bytes(self._answer.body[-2000:])!r}"))


def request_bytes(path: str, body: Mapping[str, Any]) -> bytes:
    """Returns the HTTP request with a body of JSON."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _chat(load: Load, number: int) -> dict[str, Any]:
    return {
        "model": load.model,
        "messages": [{"role": "user", "content": QUESTION.format(number)}],
        "max_tokens": load.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": load.stream,
        **({"stream_options": {"include_usage": True}} if load.stream else {}),
        **load.extra,
    }


async def connections(load: Load, answer: type[Answer]) -> list[Connection]:
    """Opens as many connections as `load` says."""
    host, _, port = load.address.rpartition(":")
    loop = asyncio.get_running_loop()
    made = partial(Connection, answer)
    return [(await loop.create_connection(made, host, int(port)))[1] for _ in range(load.concurrent)]


async def run(load: Load) -> Seen:
    """Asks over as many connections as wished."""
    opened = await connections(load, Answer)
    requests = [request_bytes("/v1/chat/completions", _chat(load, number)) for number in range(load.requests)]
    return await ask_all(load, [connection.ask for connection in opened], requests)


if __name__ == "__main__":
    main(run)
