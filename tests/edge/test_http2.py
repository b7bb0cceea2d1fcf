"""The edge's own gRPC calls against gRPC's own server, and against peers that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from gpt_server.edge.http2 import connection, frames, headers
from gpt_server.edge.http2.call import Call
from gpt_server.edge.http2.channel import Channel
from gpt_server.llm.v1 import llm_service_pb2 as pb
from tests.edge.stub import STARTED, Context, Stub, finished, stub_service, text

GENERATE = "/gpt_server.llm.v1.LLMService/Generate"
LIMIT_S = 20.0


@asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[Channel]:
    channel = Channel(address)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield channel
    finally:
        await channel.close()


def generate(channel: Channel, prompt: str = "", timeout_s: float = LIMIT_S) -> Call[pb.GenerateResponse]:
    request = pb.GenerateRequest(model="m", text=prompt)
    return channel.stream(GENERATE, request, pb.GenerateResponse, timeout_s=timeout_s)


async def everything(call: Call[pb.GenerateResponse]) -> list[pb.GenerateResponse]:
    found = []
    while (message := await call.read()) is not None:
        found.append(message)
    return found


async def failure(call: Call[pb.GenerateResponse]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await everything(call)
    return caught.value


async def large(stub: Stub, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
    yield STARTED
    yield text(request.text)
    yield finished()


async def test_messages_larger_than_every_window_pass_in_both_directions() -> None:
    prompt = "x" * 3_000_000
    async with stub_service(large) as stub, channel_to(stub.address) as channel:
        _, answer, end = await everything(generate(channel, prompt))
    assert answer.deltas[0].content == prompt
    assert end.HasField("finished")


async def test_messages_that_wait_are_read_as_one() -> None:
    sent = asyncio.Event()

    async def play(*_: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        yield text("a")
        yield text("b", "c")
        yield finished()
        sent.set()

    async with stub_service(play) as stub, channel_to(stub.address) as channel:
        call = generate(channel)
        assert (await call.read()) == STARTED
        await sent.wait()
        words: list[str] = []
        while (message := await call.read_merged()) is not None:
            words += [delta.content for delta in message.deltas]
            last = message
    assert words == ["a", "b", "c"]
    assert last.finished.usage.completion_tokens == 2


async def test_a_reader_that_does_not_read_holds_the_service_back() -> None:
    steps, limit = 0, 4_000

    async def play(*_: Any) -> AsyncIterator[pb.GenerateResponse]:
        nonlocal steps
        while steps < limit:
            steps += 1
            yield text("x" * 1000)

    async with stub_service(play) as stub, channel_to(stub.address) as channel:
        call = generate(channel)
        await call.read()
        before = -1
        while before != steps:  # until it makes no more progress
            before = steps
            await asyncio.sleep(0.2)
        assert steps < limit
        assert len(await everything(call)) == limit - 1


async def test_calls_wait_while_the_service_takes_no_more() -> None:
    running, most = 0, 0

    async def play(*_: Any) -> AsyncIterator[pb.GenerateResponse]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        yield STARTED
        await asyncio.sleep(0)
        running -= 1
        yield finished()

    one_at_a_time = [("grpc.max_concurrent_streams", 1)]
    async with stub_service(play, options=one_at_a_time) as stub, channel_to(stub.address) as channel:
        await everything(generate(channel))  # its settings have come
        answers = await asyncio.gather(*(everything(generate(channel)) for _ in range(20)))
    assert [len(answer) for answer in answers] == [2] * 20
    assert most == 1


async def test_a_lost_connection_fails_calls_and_the_next_call_connects_again() -> None:
    async def play(*_: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        await asyncio.Event().wait()

    async with stub_service(play) as first, channel_to(first.address) as channel:
        call = generate(channel)
        await call.read()
        assert first.stop
        await first.stop()
        assert (await failure(call)).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert (await failure(generate(channel))).code() is grpc.StatusCode.UNAVAILABLE
        async with stub_service(address=first.address):
            assert len(await everything(generate(channel))) == 3


async def test_the_deadline_is_kept_here_and_told_to_the_service() -> None:
    ended = asyncio.Event()

    async def play(*_: Any) -> AsyncIterator[pb.GenerateResponse]:
        try:
            yield STARTED
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with stub_service(play) as stub, channel_to(stub.address) as channel:
        assert (await failure(generate(channel, timeout_s=0.2))).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await ended.wait()
        assert stub.deadlines_s[0] <= 0.2


async def test_a_status_keeps_its_words_and_its_details() -> None:
    async def play(stub: Stub, request: Any, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        context.set_trailing_metadata((("some-bin", b"\x00\xff\x80"), ("plain", "y")))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "100 % wrong: ß\n")
        yield STARTED

    async with stub_service(play) as stub, channel_to(stub.address) as channel:
        error = await failure(generate(channel))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "100 % wrong: ß\n")
    trailing: Any = error.trailing_metadata()
    assert (trailing["some-bin"], trailing["plain"]) == (b"\x00\xff\x80", "y")


@asynccontextmanager
async def peer(answer: bytes) -> AsyncIterator[str]:
    """A server that sends `answer` to whoever connects, and nothing more."""

    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        writer.close()
        left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await left.wait()


async def test_a_silent_peer_is_found_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 0.01)
    monkeypatch.setattr(connection, "KEEPALIVE_TIMEOUT_S", 0.01)
    async with peer(b"") as address, channel_to(address) as channel:
        assert (await failure(generate(channel))).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100, b"\xff" * 100])
async def test_a_peer_that_speaks_something_else_is_left(words: bytes) -> None:
    async with peer(words) as address, channel_to(address) as channel:
        assert (await failure(generate(channel))).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([(":status", "503")], grpc.StatusCode.UNAVAILABLE),
        ([(":status", "404")], grpc.StatusCode.UNIMPLEMENTED),
        ([(":status", "200"), ("grpc-status", "77")], grpc.StatusCode.UNKNOWN),
    ],
)
async def test_answers_of_proxies(fields: list[tuple[str, str]], code: grpc.StatusCode) -> None:
    block = headers.encode(fields)
    ended = frames.frame(frames.Kind.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block)
    async with peer(frames.settings({}) + ended) as address, channel_to(address) as channel:
        assert (await failure(generate(channel))).code() is code


async def test_going_away_leaves_running_calls_alone() -> None:
    """GOAWAY names the last call that will be answered; later ones may be repeated elsewhere."""
    away = frames.frame(frames.Kind.GOAWAY, 0, 0, b"\x00\x00\x00\x01" + bytes(4))
    reset = frames.number_frame(frames.Kind.RST_STREAM, 1, 8)
    async with peer(frames.settings({}) + away + reset) as address, channel_to(address) as channel:
        first, second = generate(channel), generate(channel)
        assert (await failure(first)).code() is grpc.StatusCode.CANCELLED
        assert (await failure(second)).code() is grpc.StatusCode.UNAVAILABLE


def test_frames_are_found_however_they_are_cut() -> None:
    stream = frames.frame(frames.Kind.PING, 0, 0, b"12345678") + frames.header_frames(b"h" * 40_000, 3)
    cutter = frames.Frames()
    found = [one for at in range(0, len(stream), 7) for one in cutter.feed(stream[at : at + 7])]
    assert [(one.kind, one.flags, one.stream, len(one.payload)) for one in found] == [
        (frames.Kind.PING, 0, 0, 8),
        (frames.Kind.HEADERS, 0, 3, 16_384),
        (frames.Kind.CONTINUATION, 0, 3, 16_384),
        (frames.Kind.CONTINUATION, frames.END_HEADERS, 3, 7_232),
    ]


def test_padding_and_priority_are_left_out() -> None:
    flags = frames.PADDED | frames.WITH_PRIORITY
    assert frames.content_of(frames.Frame(frames.Kind.HEADERS, flags, 1, b"\x02PPPPPhello__")) == b"hello"
    assert frames.content_of(frames.Frame(frames.Kind.DATA, frames.PADDED, 1, b"\x00data")) == b"data"
    with pytest.raises(frames.FrameError):
        frames.content_of(frames.Frame(frames.Kind.DATA, frames.PADDED, 1, b"\x09data"))


def test_headers_survive_the_way() -> None:
    fields = [("x-request-id", "r" * 128), ("grpc-timeout", "1500m"), ("long", "v" * 20_000), ("empty", "")]
    assert list(headers.decode(headers.encode(fields))) == fields
