"""A load client for OpenAI's chat API: raw sockets, no parser, so that it is not what limits a server."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import cast

import uvloop

from bench.load import QUESTION, Load, Seen

TEXT = re.compile(rb'"content": ?"[^"]')
TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
LIMIT_S = 300.0  # only so that a failure ends


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


class Connection(asyncio.Protocol):
    """A connection that asks one question after the other."""

    def __init__(self) -> None:
        self._answer = Answer()
        self._whole: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes) -> Answer:
        """Returns the answer to a request."""
        self._answer, self._whole = Answer(), asyncio.get_running_loop().create_future()
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


def request_bytes(load: Load, number: int) -> bytes:
    """Returns the HTTP request of one question."""
    body = {
        "model": load.model,
        "messages": [{"role": "user", "content": QUESTION.format(number)}],
        "max_tokens": load.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": load.stream,
        **({"stream_options": {"include_usage": True}} if load.stream else {}),
        **load.extra,
    }
    content = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def _ask_in_turn(connection: Connection, requests: Iterator[bytes], answers: list[Answer]) -> None:
    for request in requests:
        answers.append(await connection.ask(request))


async def _run(load: Load) -> Seen:
    host, _, port = load.address.rpartition(":")
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(Connection, host, int(port)))[1] for _ in range(load.concurrent)]
    requests = iter([request_bytes(load, number) for number in range(load.requests)])
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    answers: list[Answer] = []
    begin = time.perf_counter()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(_ask_in_turn(connection, requests, answers) for connection in connections))
    return _seen(load, answers, time.perf_counter() - begin)


def _seen(load: Load, answers: list[Answer], wall_s: float) -> Seen:
    if wrong := [answer for answer in answers if answer.tokens != load.tokens]:
        raise RuntimeError(f"{wrong[0].tokens} tokens instead of {load.tokens}")
    return Seen(
        wall_s=wall_s,
        tokens=sum(answer.tokens for answer in answers),
        first_s=[answer.texts_s[0] - answer.began_s for answer in answers if answer.texts_s],
        gap_s=[b - a for answer in answers for a, b in zip(answer.texts_s, answer.texts_s[1:], strict=False)],
        whole_s=[answer.ended_s - answer.began_s for answer in answers],
        writes=sum(answer.body.count(b"\r\ndata: ") for answer in answers),
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(Load(**json.loads(sys.argv[1])))))), flush=True)
