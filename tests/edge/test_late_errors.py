"""Failures: before the first byte a plain HTTP error, after it an event and a connection that is cut."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gpt_server.llm.v1 import llm_service_pb2 as pb
from tests.edge.asking import chat, completion
from tests.edge.stub import STARTED, Stub, text
from tests.support.edge import RunningEdge
from tests.support.raw import events_of, raw_post

PATHS = ["/v1/chat/completions", "/v1/completions"]


def ask(path: str, **fields: Any) -> dict[str, Any]:
    """A streaming request to the stub."""
    return (chat if "chat" in path else completion)(model="m", stream=True, **fields)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("ending", ["INTERNAL", "UNAVAILABLE", "OK"])
async def test_a_stream_that_breaks_is_aborted(stub: Stub, stub_edge: RunningEdge, path: str, ending: str) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        yield text("a")
        if ending != "OK":  # without `finished`, OK is a failure too
            await context.abort(grpc.StatusCode[ending], "secret of 10.0.0.7")

    stub.play = play
    async with raw_post(stub_edge.url, path, ask(path)) as answer:
        body = await answer.read_all()
    assert not answer.complete
    assert b"[DONE]" not in body
    assert b"secret" not in body
    assert body.endswith(b"}\n\n")
    error = events_of(body)[-1]["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("server_error", "engine_unavailable" if ending == "UNAVAILABLE" else None)


@pytest.mark.parametrize(("fault", "code"), [("fail_after", "engine_unavailable"), ("crash_after", None)])
async def test_an_engine_that_breaks_mid_stream(edge: RunningEdge, fault: str, code: str | None) -> None:
    body = chat(stream=True, fake={"tokens": 5, fault: 2})
    async with raw_post(edge.url, "/v1/chat/completions", body) as answer:
        assert answer.status == 200
        content = await answer.read_all()
    assert not answer.complete
    assert events_of(content)[-1]["error"]["code"] == code
    assert b"[DONE]" not in content


async def test_one_prompt_that_breaks_ends_all(stub: Stub, stub_edge: RunningEdge) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        yield text("a")
        if request.text == "bad":
            await context.abort(grpc.StatusCode.INTERNAL, "")
        while True:
            yield text("more")

    stub.play = play
    body = ask("/v1/completions", prompt=["good", "bad", "good"])
    async with raw_post(stub_edge.url, "/v1/completions", body) as answer:
        content = await answer.read_all()
    assert not answer.complete
    assert events_of(content)[-1]["error"]["type"] == "server_error"
    (replica,) = stub_edge.edge.replicas
    await replica.idle.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_is_a_plain_http_error(edge: RunningEdge, stream: bool) -> None:
    body = chat(stream=stream, temperature=9)
    async with raw_post(edge.url, "/v1/chat/completions", body) as answer:
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", PATHS)
async def test_a_whole_answer_that_breaks_is_an_http_error(stub: Stub, stub_edge: RunningEdge, path: str) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield STARTED
        yield text("a")
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "")

    stub.play = play
    async with raw_post(stub_edge.url, path, ask(path) | {"stream": False}) as answer:
        assert answer.status == 504
        assert answer.headers["x-should-retry"] == "false"


async def test_a_service_that_does_not_start_properly(stub: Stub, stub_edge: RunningEdge) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        yield text("a")

    stub.play = play
    async with raw_post(stub_edge.url, "/v1/chat/completions", ask("chat")) as answer:
        assert answer.status == 500
    (replica,) = stub_edge.edge.replicas
    await replica.idle.wait()
