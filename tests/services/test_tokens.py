"""Tokens in the metadata of calls: who may call, and who is named in the metrics."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gpt_server.common.v1 import model_service_pb2, model_service_pb2_grpc
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from gpt_server.services.common.settings import BadSettings
from gpt_server.services.common.tokens import Tokens
from tests.services.asking import Stub, ask, refusal, text_of
from tests.services.test_interceptors import value
from tests.support.service import llm_service

TOKENS = "# who may call\nedge: tok-edge\n\ntok-plain\n"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two tokens."""
    path = tmp_path / "tokens"
    path.write_text(TOKENS)
    return path


async def test_every_method_but_health_wants_a_token(file: Path) -> None:
    async with (
        llm_service(grpc={"tokens_file": file}) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        llm: Stub = LLMServiceStub(channel)
        for wrong in ((), bearer("tok-edg"), bearer(""), (("authorization", "tok-edge"),)):
            said = await refusal(llm.Generate(ask("hi"), metadata=wrong))
            assert said.code is StatusCode.UNAUTHENTICATED
        watch = model_service_pb2_grpc.ModelServiceStub(channel).Watch(model_service_pb2.WatchRequest())
        assert (await refusal(watch)).code is StatusCode.UNAUTHENTICATED
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        assert (await refusal(reflection.ServerReflectionInfo(iter([listing])))).code is StatusCode.UNAUTHENTICATED
        health: Any = health_pb2_grpc.HealthStub(channel)
        checked = await health.Check(health_pb2.HealthCheckRequest())
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        assert text_of([m async for m in llm.Generate(ask("hi"), metadata=bearer("tok-edge"))]) == "You said: hi"


async def test_metrics_say_who_calls(file: Path) -> None:
    def count(name: str) -> float:
        return value("gpt_server_requests_total", service="LLMService/Generate", model="fake-chat", key_name=name)

    before = [count("edge"), count("token-2")]
    async with llm_service(grpc={"tokens_file": file}) as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            llm: Stub = LLMServiceStub(channel)
            for token in ("tok-edge", "tok-plain", "tok-plain"):
                await refusal_or_end(llm.Generate(ask("hi"), metadata=bearer(token)))
        await service.service.calls.idle()
    assert [count("edge"), count("token-2")] == [before[0] + 1, before[1] + 2]


async def refusal_or_end(call: Any) -> None:
    """Reads a call to its end."""
    async for _ in call:
        pass


def test_tokens_are_read_again(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(file)
    assert tokens.name_of(bearer("tok-edge")) == "edge"
    file.write_text("edge: tok-new\n")
    assert tokens.name_of(bearer("tok-edge")) is None
    assert tokens.name_of(bearer("tok-new")) == "edge"
    file.write_text("")
    assert tokens.name_of(bearer("tok-new")) == "edge", "what was read before stays"
    assert "holds no token" in caplog.text
    assert "tok-new" not in caplog.text


@pytest.mark.parametrize(
    ("content", "why"), [("", "holds no token"), ("a:b\na:c", "entry 2 needs a name"), (None, "No such file")]
)
async def test_a_file_of_no_use_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadSettings, match=rf"grpc\.tokens_file: .*{why}"):
        async with llm_service(grpc={"tokens_file": file}):
            pass
