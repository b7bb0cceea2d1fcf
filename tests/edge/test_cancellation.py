"""A caller who leaves frees the slot: queued, in prefill, in decode, with and without a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from gpt_server.llm.v1 import llm_service_pb2 as pb
from tests.edge.asking import chat, completion
from tests.edge.stub import STARTED, Stub, text
from tests.support.edge import RunningEdge
from tests.support.raw import raw_post
from tests.support.service import RunningService

LIMIT_S = 10.0  # only so that a failure ends

each_path = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
each_way = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def body_of(path: str, stream: bool) -> dict[str, Any]:
    """A request that takes 4000 tokens."""
    if path == "/v1/completions":
        return completion('{"fake": {"tokens": 4000}}', max_tokens=4000, stream=stream)
    return chat(fake={"tokens": 4000}, stream=stream)


@each_path
@each_way
async def test_queued(edge: RunningEdge, service: RunningService, path: str, stream: bool) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    engine.gates["prefill"].shut()
    async with (
        raw_post(edge.url, path, body_of(path, stream) | {"n": 2}, read_head=False),
        asyncio.timeout(LIMIT_S),
    ):
        await engine.gates["prefill"].reached.wait()
        async with raw_post(edge.url, path, body_of(path, stream), read_head=False) as queued:
            await admission.changes.until(lambda: admission.queued == 1)
            queued.leave()
            await admission.changes.until(lambda: admission.queued == 0)
        assert admission.running == 1
    await _all_freed(edge, service)


@pytest.mark.parametrize("phase", ["prepare", "prefill", "decode"])
@each_path
@each_way
async def test_computing(edge: RunningEdge, service: RunningService, path: str, stream: bool, phase: str) -> None:
    engine = service.engines["fake-chat"]
    engine.gates[phase].shut()
    async with raw_post(edge.url, path, body_of(path, stream), read_head=False) as answer:
        await asyncio.wait_for(engine.gates[phase].reached.wait(), LIMIT_S)
        answer.leave()
        await _all_freed(edge, service)
    assert engine.steps == 0


@each_path
async def test_between_tokens(edge: RunningEdge, service: RunningService, path: str) -> None:
    engine = service.engines["fake-chat"]
    async with raw_post(edge.url, path, body_of(path, True)) as answer:
        await answer.read_until(b"beta")
        engine.gates["decode"].shut()
        await asyncio.wait_for(engine.gates["decode"].reached.wait(), LIMIT_S)
        steps = engine.steps
        answer.leave()
        await _all_freed(edge, service)
    assert engine.steps == steps < 4000


async def test_a_reader_who_stops_reading_is_not_waited_for_forever(stub: Stub, stub_edge: RunningEdge) -> None:
    """The deadline holds though the edge is held in a write; the call, and its place in the count, are freed."""

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        while True:
            yield text("x" * 16384)

    stub.play = play
    (replica,) = stub_edge.edge.replicas
    headers = {"x-request-timeout": "0.2"}
    async with raw_post(stub_edge.url, "/v1/chat/completions", chat(model="m", stream=True), headers=headers) as answer:
        await asyncio.wait_for(replica.idle.wait(), LIMIT_S)
        await answer.read_all()
        assert not answer.complete


async def test_while_the_socket_is_full(stub: Stub, stub_edge: RunningEdge) -> None:
    """The edge is held in a write then, not in a read."""
    progress, ended = asyncio.Event(), asyncio.Event()

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        try:
            yield STARTED
            while True:
                yield text("x" * 16384)
                progress.set()
        finally:
            ended.set()

    stub.play = play
    async with raw_post(stub_edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as answer:
        with suppress(TimeoutError):
            while True:
                progress.clear()
                await asyncio.wait_for(progress.wait(), 0.5)
        answer.leave()
        await asyncio.wait_for(ended.wait(), LIMIT_S)
        (replica,) = stub_edge.edge.replicas
        await asyncio.wait_for(replica.idle.wait(), LIMIT_S)


async def test_several_prompts_at_once(edge: RunningEdge, service: RunningService) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    engine.gates["prefill"].shut()
    async with raw_post(edge.url, "/v1/completions", completion(["a", "b", "c"]), read_head=False) as answer:
        async with asyncio.timeout(LIMIT_S):
            await admission.changes.until(lambda: (admission.running, admission.queued) == (2, 1))
        answer.leave()
        await _all_freed(edge, service)


async def test_a_caller_who_leaves_before_the_body_is_there(edge: RunningEdge) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(edge.url.rpartition(":")[2]))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
    writer.write(b"content-length: 100\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()
    async with raw_post(edge.url, "/v1/chat/completions", chat()) as answer:
        assert answer.status == 200


async def _all_freed(edge: RunningEdge, service: RunningService) -> None:
    """Returns when service and edge have nothing left of any request."""
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    (replica,) = edge.edge.replicas
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == admission.queued == 0)
        await engine.idle.wait()
        await replica.idle.wait()
