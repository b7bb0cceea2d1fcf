"""An edge and a Consul agent: who is found, whom it trusts, and what it keeps while Consul is away or empty."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gpt_server.edge.discovery import consul as discovery
from gpt_server.edge.discovery.consul import Cursor, Known, next_index
from tests.cluster.agent import Agent, agent
from tests.cluster.test_registration import register
from tests.edge.asking import chat
from tests.support.edge import RunningEdge, edge_server
from tests.support.service import llm_service


async def status_of(edge: RunningEdge, path: str = "/v1/chat/completions") -> int:
    async with aiohttp.ClientSession(edge.url) as session, session.post(path, json=chat()) as answer:
        return answer.status


async def serving(edge: RunningEdge, replicas: int = 1) -> None:
    """Waits until so many replicas of the chat model are ready."""
    await edge.edge.replicas.until(lambda: sum(r.serves("fake-chat") for r in edge.edge.replicas) == replicas)


def test_index_is_handled_as_consul_asks() -> None:
    assert next_index(17, 12) == 17
    assert next_index(12, 12) == 12
    assert next_index(5, 12) == 0  # backwards: from the start
    assert next_index(0, 0) == 1  # a query with 0 would not block


def test_an_answer_that_lacks_somebody_is_asked_for_again() -> None:
    cursor = Cursor()
    assert cursor.believes(7, frozenset({"a:1"}))
    assert cursor.believes(8, frozenset({"a:1", "b:1"}))
    assert not cursor.believes(9, frozenset({"b:1"}))
    assert cursor.index == 0
    assert cursor.believes(9, frozenset({"b:1"}))
    assert not cursor.believes(9, frozenset({"b:1"}))  # no news for as long as we wait
    assert cursor.believes(9, frozenset({"b:1"}))
    assert cursor.index == 9


def test_who_is_no_longer_listed_lingers() -> None:
    known = Known()
    assert known.update({"a:1", "b:1"}, 100.0) == {"a:1", "b:1"}
    assert known.wait_s(100.0) == discovery.WAIT_S
    assert known.update({"b:1"}, 101.0) == {"a:1", "b:1"}
    assert known.wait_s(111.0) == discovery.LINGER_S - 10
    assert known.update({"b:1"}, 101.0 + discovery.LINGER_S) == {"b:1"}
    known.update(set(), 200.0)
    assert known.update({"b:1"}, 201.0) == {"b:1"}
    assert known.update({"b:1"}, 300.0) == {"b:1"}  # it came back in time


async def test_finds_loses_and_finds_again(consul: Agent) -> None:
    at = {"address": consul.address, "prefix": "found"}
    async with edge_server(consul=at) as edge, llm_service(consul=register(consul, "found")) as service:
        await serving(edge)
        assert await status_of(edge) == 200
        await service.service.drain(asyncio.Event())  # as after SIGTERM
        await serving(edge, 0)
        assert await status_of(edge) == 503
        async with llm_service(replica="test-1", consul=register(consul, "found")):
            await serving(edge)
            assert await status_of(edge) == 200


async def test_ready_only_when_consul_has_answered(tmp_path: Path) -> None:
    consul = Agent(tmp_path / "late")
    async with (
        edge_server(consul={"address": consul.address}, wait=False) as edge,
        aiohttp.ClientSession(edge.url) as session,
    ):
        async with session.get("/readyz") as answer:
            assert answer.status == 503
        await consul.start()
        try:
            await edge.edge.replicas.synced.wait()
            async with session.get("/readyz") as answer:
                assert answer.status == 200
        finally:
            await consul.kill()


async def test_a_replica_that_only_consul_calls_critical_stays_in_use(consul: Agent) -> None:
    async with llm_service() as service, edge_server(consul={"address": consul.address, "prefix": "sick"}) as edge:
        host, port = service.address.rsplit(":", 1)
        entry = {"ID": "sick-0", "Name": "sick-llm", "Address": host, "Port": int(port)}
        check = {"TCP": "127.0.0.1:1", "Interval": "1s", "Status": "critical"}
        await consul.put("/v1/agent/service/register", {**entry, "Check": check})
        await serving(edge)
        assert await status_of(edge) == 200
        await consul.put("/v1/agent/service/deregister/sick-0")


async def test_what_consul_has_removed_drains(consul: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LINGER_S", 1.0)
    async with llm_service() as service, edge_server(consul={"address": consul.address, "prefix": "gone"}) as edge:
        host, port = service.address.rsplit(":", 1)
        entry: dict[str, Any] = {"ID": "gone-0", "Name": "gone-llm", "Address": host, "Port": int(port)}
        await consul.put("/v1/agent/service/register", entry)
        await serving(edge)
        await consul.put("/v1/agent/service/deregister/gone-0")
        await edge.edge.replicas.until(lambda: not list(edge.edge.replicas))


async def test_state_lost_costs_no_request(tmp_path: Path) -> None:
    async with (
        agent(tmp_path / "agent") as consul,
        llm_service(consul=register(consul)),
        edge_server(consul={"address": consul.address}) as edge,
    ):
        await serving(edge)
        await consul.kill(forget=True)
        assert await status_of(edge) == 200
        await consul.start()
        await consul.lead()
        assert await status_of(edge) == 200
        await consul.entries("gpt-server-llm", lambda found: bool(found))
        async with llm_service(replica="test-1", consul=register(consul)):
            await serving(edge, 2)  # the edge listens to the new one
            assert await status_of(edge) == 200
