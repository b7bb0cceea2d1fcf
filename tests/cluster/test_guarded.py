"""A Consul that asks who one is: ACL tokens, https, and gRPC ports with TLS that the agent checks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gpt_server.edge.discovery import consul as discovery
from tests.cluster.agent import Agent, agent
from tests.cluster.test_discovery import serving, status_of
from tests.cluster.test_registration import register
from tests.support.certificates import Authority
from tests.support.edge import edge_server
from tests.support.service import llm_service

OWNER = str(uuid4())
SERVICE = 'service_prefix "gpt-server-" { policy = "write" }'
EDGE = 'service_prefix "gpt-server-" { policy = "read" } node_prefix "" { policy = "read" }'
BLIND = 'service_prefix "gpt-server-" { policy = "read" }'


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent that lets nobody do anything without a token."""
    tokens = {"initial_management": OWNER, "agent": OWNER}
    async with agent(tmp_path / "strict", acl={"enabled": True, "default_policy": "deny", "tokens": tokens}) as consul:
        yield consul


async def token(consul: Agent, rules: str) -> str:
    """Makes a token with these rights."""
    name = f"policy-{uuid4()}"
    await until_led(consul)
    await consul.put("/v1/acl/policy", {"Name": name, "Rules": rules}, OWNER)
    made = await consul.put("/v1/acl/token", {"Policies": [{"Name": name}]}, OWNER)
    return str(made["SecretID"])


async def until_led(consul: Agent) -> None:
    """Waits until the leader has taken up its first token."""
    async with asyncio.timeout(60):
        while True:
            try:
                await consul.get("/v1/acl/token/self", OWNER)
            except AssertionError:
                await asyncio.sleep(0.05)
            else:
                return


async def told(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Waits for a message, from now on."""
    caplog.clear()
    async with asyncio.timeout(60):
        while not any(text in message for message in caplog.messages):
            await asyncio.sleep(0.02)  # a log has no event


async def test_tokens(
    strict: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file that is read again, and from the environment; one without rights changes nothing."""
    caplog.set_level(logging.DEBUG, "gpt_server.edge.discovery")
    monkeypatch.setattr(discovery, "WAIT_S", 1.0)
    monkeypatch.setattr(discovery, "LINGER_S", 1.0)
    services, edges = tmp_path / "services", tmp_path / "edges"
    services.write_text(str(uuid4()))
    async with llm_service(consul=register(strict, token_file=services)):
        while not any("cannot register with Consul" in message for message in caplog.messages):
            await asyncio.sleep(0.02)
        services.write_text(await token(strict, SERVICE) + "\n")
        await strict.entries("gpt-server-llm", lambda found: {*found} == {"test-0"}, OWNER)

        edges.write_text(await token(strict, BLIND))
        async with edge_server(consul={"address": strict.address, "token_file": edges}, wait=False) as edge:
            await told(caplog, "may not read all")
            assert not list(edge.edge.replicas)
            edges.write_text(await token(strict, EDGE))
            await serving(edge)
            edges.write_text(await token(strict, BLIND))
            await told(caplog, "may not read all")
            await told(caplog, "may not read all")
            assert await status_of(edge) == 200

        monkeypatch.setenv("CONSUL_HTTP_TOKEN", await token(strict, EDGE))
        async with edge_server(consul={"address": strict.address}) as edge:
            await serving(edge)
    assert await strict.get("/v1/health/service/gpt-server-llm", OWNER) == []


async def test_tls_and_mutual_tls_on_every_hop(tmp_path: Path) -> None:
    """Everyone shows a certificate: service and edge to Consul, Consul's check and the edge to the service."""
    authority = Authority(tmp_path / "authority")
    ca = str(authority.certificate)
    pairs = {name: [str(file) for file in authority.sign(name)] for name in ("agent", "service", "edge")}

    def files(name: str) -> dict[str, Any]:
        return {"ca_file": ca, "cert_file": pairs[name][0], "key_file": pairs[name][1]}

    tls = {"defaults": files("agent"), "https": {"verify_incoming": True}}
    async with agent(tmp_path / "tls", tls=tls, enable_agent_tls_for_checks=True) as consul:
        address = f"https://localhost:{consul.ports['https']}"
        certificate, key = pairs["service"]
        grpc = {"tls": {"cert_file": certificate, "key_file": key, "client_ca_file": ca}}
        check = {"interval_s": 1, "tls_server_name": "localhost"}
        section = {"address": address, "tls": files("service"), "check": check}
        channel = {"tls": {**files("edge"), "server_name": "localhost"}}
        async with (
            llm_service(grpc=grpc, consul=section),
            edge_server(consul={"address": address, "tls": files("edge")}, channel=channel) as edge,
        ):
            await consul.entries("gpt-server-llm", lambda found: bool(found) and _passes(found["test-0"]))
            await serving(edge)
            assert await status_of(edge) == 200


def _passes(entry: Any) -> bool:
    return bool(entry["Status"] == "passing")
