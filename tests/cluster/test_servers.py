"""A cluster of three Consul servers, reached through a client agent: its leader dies, and nobody notices."""

from pathlib import Path

from tests.cluster.agent import Agent, agent
from tests.cluster.test_discovery import serving, status_of
from tests.cluster.test_registration import register
from tests.support.edge import edge_server
from tests.support.service import llm_service


async def test_leader_dies(tmp_path: Path) -> None:
    servers = [Agent(tmp_path / f"server-{number}", bootstrap_expect=3) for number in range(3)]
    seeds = [f"127.0.0.1:{server.ports['serf_lan']}" for server in servers]
    for server in servers:
        server.config |= {"retry_join": seeds, "retry_interval": "1s"}
    try:
        for server in servers:
            await server.start()
        for server in servers:
            await server.lead()
        joins = {"retry_join": seeds, "retry_interval": "1s"}
        async with (
            agent(tmp_path / "client", server=False, **joins) as client,
            llm_service(consul=register(client)),
            edge_server(consul={"address": client.address}) as edge,
            edge_server(consul={"address": client.address}) as other,
        ):
            await serving(edge)
            await serving(other)
            led = await client.get("/v1/status/leader")
            (leader,) = (server for server in servers if led == f"127.0.0.1:{server.ports['server']}")
            await leader.kill()
            assert await status_of(edge) == await status_of(other) == 200
            async with llm_service(replica="test-1", consul=register(client)):
                await serving(edge, 2)
                await serving(other, 2)
                assert await status_of(edge) == await status_of(other) == 200
            assert await client.get("/v1/status/leader") != led
    finally:
        for server in servers:
            await server.kill()
