"""Channels to services: credentials, and what the environment of the process must not change."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpt_server.edge.config import ChannelSettings
from gpt_server.services.common.config import GrpcSettings
from gpt_server.services.common.server import _options
from tests.edge.asking import chat
from tests.edge.stub import Stub
from tests.support.certificates import Authority
from tests.support.edge import edge_server
from tests.support.service import llm_service


async def status_over(address: str, tls: dict[str, Any] | None) -> int:
    """Returns how a chat request is answered over a channel with these credentials."""
    async with (
        edge_server([address], channel={"tls": tls}, expected_models=("fake-chat",)) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        return (await client.post("/v1/chat/completions", json=chat())).status_code


async def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("server")
    async with llm_service(grpc={"tls": {"cert_file": certificate, "key_file": key}}) as service:
        trusting = {"ca_file": authority.certificate, "server_name": "localhost"}
        assert await status_over(service.address, trusting) == 200
        assert await status_over(service.address, trusting | {"server_name": "elsewhere"}) == 503
        stranger = Authority(tmp_path / "other").certificate
        assert await status_over(service.address, {"ca_file": stranger, "server_name": "localhost"}) == 503
        assert await status_over(service.address, None) == 503


async def test_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("server")
    ours, our_key = authority.sign("client")
    tls = {"cert_file": certificate, "key_file": key, "client_ca_file": authority.certificate}
    async with llm_service(grpc={"tls": tls}) as service:
        trusting = {"ca_file": authority.certificate, "server_name": "localhost"}
        assert await status_over(service.address, trusting | {"cert_file": ours, "key_file": our_key}) == 200
        assert await status_over(service.address, trusting) == 503


async def test_credentials_are_read_again_when_they_change(tmp_path: Path) -> None:
    """The service gets certificates of another authority; the edge, which is given them too, finds its way back."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    files = {name: tmp_path / name for name in ("ca_file", "cert_file", "key_file")}

    def install(authority: Authority) -> None:
        for file, source in zip(files.values(), (authority.certificate, *authority.sign("edge")), strict=True):
            file.write_bytes(source.read_bytes())

    def serving(authority: Authority, **grpc: Any) -> Any:
        certificate, key = authority.sign("server")
        tls = {"cert_file": certificate, "key_file": key, "client_ca_file": authority.certificate}
        return llm_service(grpc=grpc | {"tls": tls})

    install(old)
    async with serving(old) as service:
        tls = files | {"server_name": "localhost"}
        async with edge_server([service.address], channel={"tls": tls}) as edge:
            replicas = edge.edge.replicas
            assert list(replicas.ready_models()) == ["fake-chat"]
            await service.service.close()
            install(new)
            async with serving(new, port=int(service.address.rpartition(":")[2])), asyncio.timeout(20):
                await replicas.until(lambda: not replicas.ready_models())
                await replicas.until(lambda: bool(replicas.ready_models()))


async def test_the_edge_shows_its_token(tmp_path: Path) -> None:
    known, shown = tmp_path / "known", tmp_path / "shown"
    known.write_text("edge:tok-1")
    shown.write_text("tok-1\n")
    async with (
        llm_service(grpc={"tokens_file": known}) as service,
        edge_server([service.address], channel={"token_file": shown}) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=chat())).status_code == 200
        known.write_text("edge:tok-2")
        refused = await client.post("/v1/chat/completions", json=chat())
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "bad_gateway")
        shown.write_text("tok-2")
        assert (await client.post("/v1/chat/completions", json=chat())).status_code == 200


async def test_an_edge_without_a_token_says_why_nothing_is_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = tmp_path / "known"
    known.write_text("edge:tok-1")
    async with llm_service(grpc={"tokens_file": known}) as service, edge_server([service.address]):
        assert "UNAUTHENTICATED" in caplog.text


def test_services_allow_the_pings_of_an_edge() -> None:
    """Else a long prefill, in which nothing else is sent, would end with GOAWAY, too_many_pings."""
    allowed_ms = dict(_options(GrpcSettings()))["grpc.http2.min_ping_interval_without_data_ms"]
    assert ChannelSettings().keepalive_s * 1000 >= 2 * allowed_ms


async def test_plain_text_over_the_network_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async with edge_server(["192.0.2.1:1", "127.0.0.1:1", "[::1]:1", "localhost:1"]):
        warnings = [record.getMessage() for record in caplog.records if "PLAIN TEXT" in record.getMessage()]
    assert warnings == ["192.0.2.1:1 is spoken to in PLAIN TEXT over the network: set channel.tls"]


async def test_proxies_of_the_environment_are_not_for_services(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        edge_server([stub.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url, trust_env=False) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=chat(model="m"))).status_code == 200
