"""Channels to services: credentials, and what the environment of the process must not change."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

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


async def test_proxies_of_the_environment_are_not_for_services(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with (
        edge_server([stub.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url, trust_env=False) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=chat(model="m"))).status_code == 200
