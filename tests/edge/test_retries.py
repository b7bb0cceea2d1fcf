"""A call that a dead replica drops goes to another, as long as nothing of the output has been seen."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import pytest

from gpt_server.edge.breaker import FAILURES
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.services.common.errors import Overloaded
from gpt_server.services.common.status import to_status
from tests.edge.asking import chat
from tests.edge.stub import STARTED, Stub, answer, finished, status_of, stub_service, text
from tests.support.edge import RunningEdge, edge_server
from tests.support.raw import raw_post


async def drop_at_once(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """Refuses the call as a service does that is going down."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
    yield STARTED


async def drop_after_started(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """Takes the call, then dies."""
    yield STARTED
    await context.abort(grpc.StatusCode.UNAVAILABLE, "died")


async def refuse_as_full(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """Has no room."""
    await context.abort_with_status(to_status(Overloaded("full", 7)))
    yield STARTED


async def drop_after_text(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """Dies when the caller has seen something."""
    yield STARTED
    yield text("a")
    await context.abort(grpc.StatusCode.UNAVAILABLE, "died")


async def time_out(stub: Stub, request: Any, context: Any) -> AsyncIterator[pb.GenerateResponse]:
    """Is too slow."""
    await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "")
    yield finished()


def first_pick(stub: Stub) -> None:
    """Makes the edge prefer this replica: it says that it has room for more."""
    stub.statuses = [status_of("m")]
    stub.statuses[0].model.limits.max_running = 1000
    stub.statuses[0].running = 0


def second_pick(stub: Stub) -> None:
    """Makes the edge avoid this replica: it says that it is busy."""
    stub.statuses = [status_of("m")]
    stub.statuses[0].running = 5


async def ask(edge: RunningEdge, **fields: Any) -> httpx2.Response:
    """Sends a chat request."""
    async with httpx2.AsyncClient(base_url=edge.url) as client:
        return await client.post("/v1/chat/completions", json=chat(model="m", **fields))


@pytest.mark.parametrize("play", [drop_at_once, drop_after_started, refuse_as_full])
@pytest.mark.parametrize("stream", [True, False])
async def test_another_replica_answers(play: Any, stream: bool) -> None:
    async with stub_service(play, replica="bad") as bad, stub_service(answer, replica="good") as good:
        first_pick(bad)
        second_pick(good)
        async with edge_server([bad.address, good.address]) as edge:
            response = await ask(edge, stream=stream)
            assert response.status_code == 200
            assert "good" in response.text
            assert response.text.count('"role"') == 1
            assert (len(bad.requests), len(good.requests)) == (1, 1)
            assert bad.metadata[0]["x-request-id"] == good.metadata[0]["x-request-id"]
            assert all(replica.in_flight == 0 for replica in edge.edge.replicas)


async def test_not_after_the_first_text() -> None:
    async with stub_service(drop_after_text, replica="bad") as bad, stub_service(answer, replica="good") as good:
        first_pick(bad)
        second_pick(good)
        async with (
            edge_server([bad.address, good.address]) as edge,
            raw_post(edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as response,
        ):
            await response.read_all()
            assert not response.complete
            assert b"engine_unavailable" in response.body
            assert good.requests == []


async def test_never_after_a_deadline() -> None:
    async with stub_service(time_out, replica="bad") as bad, stub_service(answer, replica="good") as good:
        first_pick(bad)
        second_pick(good)
        async with edge_server([bad.address, good.address]) as edge:
            response = await ask(edge)
            assert response.status_code == 504
            assert good.requests == []


async def test_each_replica_is_asked_once() -> None:
    async with (
        stub_service(drop_at_once, replica="a") as a,
        stub_service(drop_at_once, replica="b") as b,
        edge_server([a.address, b.address]) as edge,
    ):
        response = await ask(edge)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"
        assert "going down" not in response.text
        assert (len(a.requests), len(b.requests)) == (1, 1)


async def test_only_when_every_replica_is_full_it_is_429() -> None:
    async with (
        stub_service(refuse_as_full, replica="a") as a,
        stub_service(refuse_as_full, replica="b") as b,
        edge_server([a.address, b.address]) as edge,
    ):
        response = await ask(edge)
        assert (response.status_code, response.headers["retry-after"]) == (429, "7")
        assert (len(a.requests), len(b.requests)) == (1, 1)
        assert not any(replica.breaker.is_open for replica in edge.edge.replicas)


async def test_a_replica_that_fails_again_and_again_is_left_alone() -> None:
    """Its Watch is well, and it has the least load; each request that finds it dead is answered by the other."""
    async with stub_service(drop_at_once, replica="bad") as bad, stub_service(answer, replica="good") as good:
        first_pick(bad)
        second_pick(good)
        async with edge_server([bad.address, good.address]) as edge:
            for _ in range(FAILURES + 5):
                assert "good" in (await ask(edge)).text
            assert len(bad.requests) == FAILURES
            (broken,) = [replica for replica in edge.edge.replicas if replica.breaker.is_open]
            assert broken.name == "bad"
            bad.play = answer
            broken.breaker._closed_from_s = 0.0  # the pause is over
            assert "bad" in (await ask(edge)).text
            assert not broken.breaker.is_open


async def test_a_request_goes_to_a_broken_replica_if_there_is_no_other(stub: Stub, stub_edge: RunningEdge) -> None:
    stub.play = drop_at_once
    for _ in range(FAILURES + 1):
        assert (await ask(stub_edge)).status_code == 503
    stub.play = answer
    assert (await ask(stub_edge)).status_code == 200


async def test_a_key_of_the_request_decides_who_answers() -> None:
    async with stub_service(replica="a") as a, stub_service(replica="b") as b:
        async with edge_server([a.address, b.address]) as edge:
            # So many that it is no chance, whatever the ports are, if both replicas have some.
            keys = [{name: f"{name} {n}"} for name in ("prompt_cache_key", "session_id", "user") for n in range(10)]
            for key in keys:
                assert len({(await ask(edge, **key)).json()["choices"][0]["message"]["content"] for _ in range(3)}) == 1
        assert a.requests
        assert b.requests
        assert len(a.requests) + len(b.requests) == 90


async def test_one_replica_has_no_other(stub: Stub, stub_edge: RunningEdge) -> None:
    stub.play = drop_at_once
    assert (await ask(stub_edge)).status_code == 503
    assert len(stub.requests) == 1
