"""Calls of vectors, scores and labels that do not run to their end here: callers who leave, replicas that die."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import httpx2
import numpy as np
import pytest

from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceStub
from tests.edge.test_embed import embedding, post
from tests.services.embed_asking import embed, vectors
from tests.support.edge import RunningEdge, edge_server
from tests.support.raw import raw_post
from tests.support.service import RunningService, embed_service

LIMIT_S = 10.0  # only so that a failure ends


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    async with embed_service() as running:
        yield running


@pytest.fixture
async def edge(service: RunningService) -> AsyncIterator[RunningEdge]:
    async with edge_server([service.address]) as running:
        yield running


BODIES = {
    "/v1/embeddings": embedding("a"),
    "/v1/rerank": {"model": "fake-rerank", "query": "a", "documents": ["b"]},
    "/v1/score": {"model": "fake-rerank", "text_1": "a", "text_2": "b"},
    "/v1/classify": {"model": "fake-classification", "input": "a"},
    "/v1/moderations": {"model": "fake-classification", "input": "a"},
}


@pytest.mark.parametrize("phase", ["prepare", "compute"])
@pytest.mark.parametrize("path", BODIES)
async def test_a_caller_who_leaves_while_it_runs(
    edge: RunningEdge, service: RunningService, path: str, phase: str
) -> None:
    model = BODIES[path]["model"]
    engine, admission = service.engines[model], service.admissions[model]
    engine.gates[phase].shut()
    async with raw_post(edge.url, path, BODIES[path], read_head=False) as answer, asyncio.timeout(LIMIT_S):
        await engine.gates[phase].reached.wait()
        answer.leave()
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
        (replica,) = edge.edge.replicas
        await replica.idle.wait()
    assert engine.computed == 0


@pytest.mark.parametrize("path", BODIES)
async def test_a_caller_who_leaves_the_queue(path: str) -> None:
    model = BODIES[path]["model"]
    limits = {"max_running": 1, "max_queued": 1}
    args = {"task": model.removeprefix("fake-")}
    models = {model: {"engine": "fake", "model": "none", "limits": limits, "engine_args": args}}
    async with embed_service(models) as service, edge_server([service.address]) as edge, asyncio.timeout(LIMIT_S):
        engine, admission = service.engines[model], service.admissions[model]
        engine.gates["compute"].shut()
        async with (
            raw_post(edge.url, path, BODIES[path], read_head=False) as running,
            raw_post(edge.url, path, BODIES[path], read_head=False) as queued,
        ):
            await admission.changes.until(lambda: (admission.running, admission.queued) == (1, 1))
            async with raw_post(edge.url, path, BODIES[path]) as refused:
                assert refused.status == 429
                assert refused.headers["retry-after"]
            queued.leave()
            running.leave()
            await admission.changes.until(lambda: admission.running == admission.queued == 0)
        assert engine.computed == 0


async def test_a_dead_replica_costs_no_answer() -> None:
    """Vectors are the same whoever computes them: the call is made again on the other replica."""
    async with (
        embed_service() as living,
        embed_service(replica="test-1") as dying,
        edge_server([living.address, dying.address]) as edge,
    ):
        for service in (living, dying):
            service.engines["fake-embedding"].gates["compute"].shut()
        async with raw_post(edge.url, "/v1/embeddings", embedding("a"), read_head=False) as answer:
            async with asyncio.timeout(LIMIT_S):
                while not (busy := [s for s in (living, dying) if s.admissions["fake-embedding"].running]):
                    await asyncio.sleep(0.01)
            other = dying if busy[0] is living else living
            other.engines["fake-embedding"].gates["compute"].open()
            busy[0].engines["fake-embedding"].died.set()
            await busy[0].service.fail(busy[0].service.models["fake-embedding"], "the engine has died")
            await answer.read_head()
            assert answer.status == 200


async def test_direct_and_edge_agree(edge: RunningEdge, service: RunningService) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel, httpx2.AsyncClient(base_url=edge.url) as client:
        direct, _ = await vectors(EmbedServiceStub(channel).Embed(embed("one two")))
        answer = await post(client, "/v1/embeddings", **embedding("one two"))
        assert np.array_equal(direct[0], np.array(answer["data"][0]["embedding"], dtype=np.float32))
