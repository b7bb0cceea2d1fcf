"""A service and a Consul agent: what is registered, when it passes, what a lost agent changes."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.agent import Agent, agent
from tests.support.service import FAKE_CHAT, embed_service, llm_service

EAGER = {"interval_s": 1}
NAMED = {"fake-chat": {**FAKE_CHAT["fake-chat"], "names": ["acme/fake", "fake"]}}


def register(consul: Agent, prefix: str = "gpt-server", **settings: Any) -> dict[str, Any]:
    """The section of a service's settings."""
    return {"address": consul.address, "prefix": prefix, "check": EAGER, **settings}


async def test_critical_until_the_model_is_ready_and_gone_when_it_ends(consul: Agent) -> None:
    async with llm_service(NAMED, load=False, replica="life-0", consul=register(consul, "life")) as service:
        entries = await consul.entries("life-llm", lambda found: "life-0" in found)
        entry = entries["life-0"]
        assert entry["Status"] == "critical"
        assert f"{entry['Address']}:{entry['Port']}" == service.address
        assert entry["Tags"] == ["acme/fake", "fake"]
        assert entry["Meta"]["engine"] == "fake"
        assert entry["Meta"]["version"]
        await service.service.load()
        await consul.entries("life-llm", lambda found: found["life-0"]["Status"] == "passing")
    assert await consul.get("/v1/health/service/life-llm") == []


async def test_modalities_have_names_of_their_own(consul: Agent) -> None:
    async with (
        llm_service(replica="chat-0", consul=register(consul, "two")),
        embed_service(replica="embed-0", consul=register(consul, "two")),
    ):
        await consul.entries("two-llm", lambda found: {*found} == {"chat-0"})
        await consul.entries("two-embed", lambda found: {*found} == {"embed-0"})


async def test_a_port_on_all_addresses_is_found_at_the_agents(consul: Agent) -> None:
    async with llm_service(replica="wild-0", grpc={"host": "0.0.0.0"}, consul=register(consul, "wild")):
        entries = await consul.entries("wild-llm", lambda found: bool(found) and _passes(found["wild-0"]))
        assert entries["wild-0"]["Address"] == ""


def _passes(entry: Any) -> bool:
    return bool(entry["Status"] == "passing")


async def test_an_agent_that_lost_its_state_is_told_again(tmp_path: Path) -> None:
    async with agent(tmp_path / "agent") as consul, llm_service(replica="lost-0", consul=register(consul)):
        await consul.entries("gpt-server-llm", lambda found: "lost-0" in found)
        await consul.kill(forget=True)
        await consul.start()
        await consul.lead()
        await consul.entries("gpt-server-llm", lambda found: "lost-0" in found and _passes(found["lost-0"]))


async def test_an_agent_that_starts_late_is_told_as_soon_as_it_is_there(tmp_path: Path) -> None:
    consul = Agent(tmp_path / "late")
    async with llm_service(replica="late-0", consul=register(consul)):
        await consul.start()
        try:
            await consul.lead()
            await consul.entries("gpt-server-llm", lambda found: "late-0" in found)
        finally:
            await consul.kill()


async def test_a_name_that_another_process_took_is_told_and_left_to_it(
    consul: Agent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt_server.services.common.registration.PERIOD_S", 0.2)
    caplog.set_level(logging.INFO)
    async with llm_service(replica="same-0", consul=register(consul, "same")) as first:
        await consul.entries("same-llm", lambda found: "same-0" in found)
        async with llm_service(replica="same-0", consul=register(consul, "same")) as second:
            assert first.address != second.address
            ours = int(second.address.rpartition(":")[2])
            await consul.entries("same-llm", lambda found: found["same-0"]["Port"] == ours)
            registration: Any = first.service._registration
            while not registration._taken:
                await registration._rest(0.05)
            first.service._deregister()
            await registration.left()
            await consul.entries("same-llm", lambda found: found["same-0"]["Port"] == ours)
    assert "another process has registered with Consul as same-0: `replica` must be unique" in caplog.messages
