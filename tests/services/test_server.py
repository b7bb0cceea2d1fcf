"""The gRPC port: credentials, limits, health, reflection, and one owner for a port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import llm_service_pb2_grpc
from gpt_server.services.common.settings import BadSettings
from tests.services.asking import ask, refusal, text_of
from tests.support.certificates import Authority
from tests.support.service import RunningService, llm_service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
LLM_SERVICE = "gpt_server.llm.v1.LLMService"


@asynccontextmanager
async def secure(service: RunningService, credentials: grpc.ChannelCredentials) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service by the name in its certificate."""
    port = service.address.rpartition(":")[2]
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        yield channel


async def answer(channel: grpc.aio.Channel) -> str:
    """What the model says over a channel."""
    llm = llm_service_pb2_grpc.LLMServiceStub(channel)
    return text_of([message async for message in llm.Generate(ask("hi"), timeout=10)])


async def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("server")
    roots = authority.certificate.read_bytes()
    async with llm_service(grpc={"tls": {"cert_file": certificate, "key_file": key}}) as service:
        async with secure(service, grpc.ssl_channel_credentials(roots)) as channel:
            assert await answer(channel) == "You said: hi"
        stranger = Authority(tmp_path / "other").certificate.read_bytes()
        async with secure(service, grpc.ssl_channel_credentials(stranger)) as channel:
            llm = llm_service_pb2_grpc.LLMServiceStub(channel)
            assert (await refusal(llm.Generate(ask(), timeout=10))).code == StatusCode.UNAVAILABLE


async def test_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.sign("server")
    client_certificate, client_key = authority.sign("client")
    roots = authority.certificate.read_bytes()
    tls = {"cert_file": certificate, "key_file": key, "client_ca_file": authority.certificate}
    async with llm_service(grpc={"tls": tls}) as service:
        known = grpc.ssl_channel_credentials(roots, client_key.read_bytes(), client_certificate.read_bytes())
        async with secure(service, known) as channel:
            assert await answer(channel) == "You said: hi"
        async with secure(service, grpc.ssl_channel_credentials(roots)) as channel:
            llm = llm_service_pb2_grpc.LLMServiceStub(channel)
            assert (await refusal(llm.Generate(ask(), timeout=10))).code == StatusCode.UNAVAILABLE


async def test_certificates_are_read_again(tmp_path: Path) -> None:
    """New connections see the new ones at once, both ways; those that stand go on; half a change changes nothing."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    files = {name: tmp_path / name for name in ("cert_file", "key_file", "client_ca_file")}

    def install(authority: Authority, *names: str) -> None:
        certificate, key = authority.sign("server")
        for name, source in zip(files, (certificate, key, authority.certificate), strict=True):
            if name in names:
                replace(source, files[name])

    def client(authority: Authority) -> grpc.ChannelCredentials:
        certificate, key = authority.sign("client")
        return grpc.ssl_channel_credentials(
            authority.certificate.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )

    install(old, *files)
    before, after = client(old), client(new)
    async with llm_service(grpc={"tls": files}) as service, secure(service, before) as standing:
        assert await answer(standing) == "You said: hi"
        install(new, "cert_file")
        async with secure(service, before) as channel:
            assert await answer(channel) == "You said: hi"
        install(new, *files)
        async with secure(service, after) as channel:
            assert await answer(channel) == "You said: hi"
        async with secure(service, before) as channel:
            llm = llm_service_pb2_grpc.LLMServiceStub(channel)
            assert (await refusal(llm.Generate(ask(), timeout=10))).code == StatusCode.UNAVAILABLE
        files["key_file"].unlink()
        async with secure(service, after) as channel:
            assert await answer(channel) == "You said: hi"
        assert await answer(standing) == "You said: hi"


def replace(source: Path, target: Path) -> None:
    """Puts a copy in place in one step, as tools that renew certificates do."""
    draft = target.with_suffix(".new")
    draft.write_bytes(source.read_bytes())
    draft.replace(target)


async def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    tls = {"cert_file": tmp_path / "none.pem", "key_file": tmp_path / "none.key"}
    with pytest.raises(BadSettings, match=r"grpc\.tls\.key_file: .*none\.key: No such file"):
        async with llm_service(grpc={"tls": tls}):
            pass


async def test_a_certificate_that_is_none_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    tls = {"cert_file": tmp_path / "bad.pem", "key_file": tmp_path / "bad.pem"}
    with pytest.raises(BadSettings, match="gRPC refused the address or the certificate"):
        async with llm_service(grpc={"tls": tls}):
            pass


async def test_plain_text_on_the_network_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async with llm_service():
        assert "PLAIN TEXT" not in caplog.text
    async with llm_service(grpc={"host": "0.0.0.0"}):
        assert "grpc.host 0.0.0.0 can be reached in PLAIN TEXT" in caplog.text


@pytest.mark.parametrize("section", ["grpc", "admin"])
async def test_a_taken_port_is_one_clear_line(section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings: dict[str, Any] = {section: {"port": port}}
        with pytest.raises(BadSettings) as refused:
            async with llm_service(**settings):
                pass
    assert str(refused.value) == f"{section}.port: cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_two_services_never_share_a_port(service: RunningService) -> None:
    port = int(service.address.rpartition(":")[2])
    with pytest.raises(BadSettings, match="Address already in use"):
        async with llm_service(grpc={"port": port}):
            pass


async def test_requests_over_the_limit_are_refused_by_grpc_itself() -> None:
    async with (
        llm_service(grpc={"max_message_bytes": 2048}) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        llm = llm_service_pb2_grpc.LLMServiceStub(channel)
        refused = await refusal(llm.Generate(ask("x" * 4096)))
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "")
        assert await answer(channel) == "You said: hi"


async def test_requests_far_over_grpcs_own_default_are_taken(channel: grpc.aio.Channel) -> None:
    llm = llm_service_pb2_grpc.LLMServiceStub(channel)
    refused = await refusal(llm.Generate(ask("x " * 5_000_000)))
    assert refused.reason == "CONTEXT_LENGTH_EXCEEDED"


async def health_of(channel: grpc.aio.Channel, name: str) -> "health_pb2.HealthCheckResponse.ServingStatus":
    """What health says of a name."""
    response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    return response.status


@pytest.mark.parametrize("name", ["", LLM_SERVICE])
async def test_health_follows_the_models(name: str) -> None:
    async with llm_service(load=False) as service, grpc.aio.insecure_channel(service.address) as channel:
        assert await health_of(channel, name) == NOT_SERVING
        await service.service.load()
        assert await health_of(channel, name) == SERVING
        await service.service.drain(asyncio.Event())
        assert await health_of(channel, name) == NOT_SERVING


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([request]))
    (response,) = [response async for response in call]
    names = {service.name for service in response.list_services_response.service}
    assert {LLM_SERVICE, "gpt_server.common.v1.ModelService", "grpc.health.v1.Health"} <= names


async def test_reflection_knows_the_messages(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=pb.GenerateRequest.DESCRIPTOR.full_name)
    (response,) = [response async for response in stub.ServerReflectionInfo(iter([request]))]
    assert b"GenerateRequest" in response.file_descriptor_response.file_descriptor_proto[0]


async def test_old_connections_take_no_new_calls() -> None:
    """A client is told to connect anew; calls go on."""
    async with (
        llm_service(grpc={"max_connection_age_s": 0.2}) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        assert await answer(channel) == "You said: hi"
        async with asyncio.timeout(30):
            while (state := channel.get_state()) != grpc.ChannelConnectivity.IDLE:
                await channel.wait_for_state_change(state)
        assert await answer(channel) == "You said: hi"
