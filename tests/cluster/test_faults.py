"""Two edges, replicas of two modalities and a Consul agent, all of them processes: what callers see when one goes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from tests.cluster.agent import Agent, agent
from tests.cluster.load import CHAT, ask, load
from tests.support.stack import RunningStack, stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAKE = {"engine": "fake", "model": "none", "replicas": 2}
MODELS = {
    "chat": FAKE,
    "embed": {**FAKE, "service": "embed", "engine_args": {"task": "embedding"}},
    "demo-chat": {"engine": "hf", "model": str(Path(__file__).parents[2] / "models" / "demo" / "chat")},
}
REPLICAS = ("chat-0", "chat-1", "embed-0", "embed-1")


@dataclass(frozen=True)
class Cluster:
    """The stack, the agent that it registers with, and a connection to its edges."""

    stack: RunningStack
    consul: Agent
    session: aiohttp.ClientSession

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals a process of the stack; returns the line of the output after which to look for what comes of it."""
        os.kill(self.stack.children()[name]["pid"], number)
        return len(self.stack.lines)

    async def busy(self, name: str) -> None:
        """Waits until a replica works on something."""
        async with asyncio.timeout(60):
            while not await self.stack.metric(name, "gpt_server_running_requests"):
                await asyncio.sleep(0.02)

    async def passing(self) -> None:
        """Waits until every replica has registered where it is now, and passes."""
        for service, names in (("llm", {"chat-0", "chat-1", "demo-chat-0"}), ("embed", {"embed-0", "embed-1"})):
            children = self.stack.children()
            await self.consul.entries(
                f"gpt-server-{service}",
                lambda found, names=names, children=children: (
                    {  # type: ignore[misc]
                        name: f"{entry['Address']}:{entry['Port']}"
                        for name, entry in found.items()
                        if entry["Status"] == "passing"
                    }
                    == {name: children[name]["grpc"] for name in names}
                ),
            )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Two edges, two replicas each of a chat and an embedding model (fake), and the demo's chat model."""
    folder = tmp_path_factory.mktemp("cluster")
    async with agent(folder / "agent") as consul:
        config: dict[str, Any] = {
            "edge": {"port": 0, "processes": 2},
            "consul": {"address": consul.address, "check": {"interval_s": 1}},
            "models": MODELS,
        }
        (folder / "stack.yaml").write_text(yaml.safe_dump(config))
        async with stack(folder, "-c", str(folder / "stack.yaml")) as running:
            timeout = aiohttp.ClientTimeout(total=120)
            async with aiohttp.ClientSession(running.url, timeout=timeout) as session:
                yield Cluster(running, consul, session)
            running.signal(signal.SIGINT)
            assert await running.ended() == 0
            for service in ("llm", "embed"):
                assert await consul.get(f"/v1/health/service/gpt-server-{service}") == []


async def test_both_edges_find_every_model_through_the_agent(cluster: Cluster) -> None:
    await cluster.passing()
    for edge in ("edge-0", "edge-1"):
        url = f"http://{cluster.stack.children()[edge]['admin']}/readyz?models=all"
        async with cluster.session.get(url) as answer:
            assert await answer.json() == {"ready": True, "models": dict.fromkeys(MODELS, "ready")}
    assert not await ask(cluster.session, "/v1/chat/completions", {"model": "demo-chat", "max_tokens": 5, **CHAT})
    async with load(cluster.stack.url) as tally:
        await tally.more(100)
    assert tally.failures == []
    for name in ("edge-0", "edge-1"):
        assert await cluster.stack.metric(name, 'gpt_server_edge_requests_total{key_name="",model="chat"') > 0
    for name in REPLICAS:
        assert await cluster.stack.metric(name, "gpt_server_requests_total") > 0


async def test_killed_before_the_first_byte_fails_no_request(cluster: Cluster) -> None:
    slow = {"fake": {"tokens": 3, "prefill_s": 3.0}}
    body = {"model": "chat", "chat_template_kwargs": slow, **CHAT}
    waiting = [
        asyncio.create_task(ask(cluster.session, "/v1/chat/completions", {**body, "stream": bool(number % 2)}))
        for number in range(8)
    ]
    await cluster.busy("chat-0")
    line = cluster.kill("chat-0")
    assert not any(request.done() for request in waiting)
    assert await asyncio.gather(*waiting) == [""] * 8
    retries = [await cluster.stack.metric(edge, "gpt_server_edge_retries_total") for edge in ("edge-0", "edge-1")]
    assert sum(retries) > 0
    await cluster.stack.said("chat-0 is ready", after=line)
    await cluster.passing()


async def test_streams_of_a_replica_that_is_told_to_end_finish(cluster: Cluster) -> None:
    body = {"model": "chat", "stream": True, "chat_template_kwargs": {"fake": {"tokens": 60, "token_s": 0.1}}, **CHAT}
    streams = [asyncio.create_task(ask(cluster.session, "/v1/chat/completions", body)) for _ in range(8)]
    await cluster.busy("chat-1")
    line = cluster.kill("chat-1", signal.SIGTERM)
    draining = cluster.stack.lines[await cluster.stack.said("draining: ", after=line) - 1]
    assert not draining.endswith(": 0 calls in flight")
    await cluster.consul.entries("gpt-server-llm", lambda found: "chat-1" not in found)
    assert not any(stream.done() for stream in streams)
    assert await asyncio.gather(*streams) == [""] * 8
    await cluster.stack.said("chat-1 has ended (exit code 0)", after=line)
    await cluster.stack.said("chat-1 is ready", after=line)


async def test_rolling_restart_of_every_replica_under_load(cluster: Cluster) -> None:
    async with load(cluster.stack.url) as tally:
        for name in REPLICAS:
            await tally.more()
            line = cluster.kill(name, signal.SIGTERM)
            await cluster.stack.said(f"{name} is ready", after=line)
            await cluster.passing()
        await tally.more()
    assert tally.failures == []


async def test_killed_replicas_under_load(cluster: Cluster) -> None:
    """No embedding may fail. An answer of which a part has come cannot move to another replica; its error says so."""
    async with load(cluster.stack.url) as tally:
        for name in ("embed-0", "chat-0"):
            await tally.more()
            line = cluster.kill(name)
            await cluster.stack.said(f"{name} is ready", after=line)
            await cluster.passing()
        await tally.more()
    for failure in tally.failures:
        assert failure.startswith("/v1/chat/completions "), failure
        # aiohttp tells that the connection was cut, and may drop the error event that came just before.
        assert "engine_unavailable" in failure or "payload is not completed" in failure, failure


@pytest.mark.parametrize("forget", [False, True], ids=["restarted", "state lost"])
async def test_consul_goes_and_comes_back_under_load(cluster: Cluster, forget: bool) -> None:
    async with load(cluster.stack.url) as tally:
        await tally.more()
        await cluster.consul.kill(forget=forget)
        await tally.more(60)
        await cluster.consul.start()
        await cluster.consul.lead()
        await cluster.passing()
        await tally.more(60)
        line = cluster.kill("embed-1", signal.SIGTERM)  # the edges listen again: its new address reaches them
        await cluster.stack.said("embed-1 is ready", after=line)
        await cluster.passing()
        line = cluster.kill("embed-0", signal.SIGTERM)
        await cluster.stack.said("embed-0 is ready", after=line)
        await tally.more()
    assert tally.failures == []
