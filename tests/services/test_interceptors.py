"""The pass around every call: request id, default deadline, cancellation, access log, metrics."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from prometheus_client import REGISTRY

from gpt_server.common.v1 import model_service_pb2, model_service_pb2_grpc
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import llm_service_pb2_grpc
from gpt_server.services.common.calls import Calls
from gpt_server.services.common.interceptors import CallInterceptor
from tests.services.asking import EOF, Stub, ask, refusal, text_of
from tests.support.service import RunningService, llm_service


async def request_id_of(call: Any) -> str:
    """The id in the initial metadata of a call."""
    return str(dict(await call.initial_metadata())["x-request-id"])


async def test_the_callers_request_id_comes_back(llm: Stub) -> None:
    given = (("x-request-id", "abc-1"),)
    stream = llm.Generate(ask(), metadata=given)
    assert await request_id_of(stream) == "abc-1"
    assert await request_id_of(llm.Describe(pb.DescribeRequest(model="fake-chat"), metadata=given)) == "abc-1"
    assert await request_id_of(llm.Generate(ask(fail_after=0), metadata=given)) == "abc-1"


@pytest.mark.parametrize("given", [(), (("x-request-id", "x" * 200),)])
async def test_a_missing_or_huge_request_id_is_replaced(llm: Stub, given: Any) -> None:
    made = [await request_id_of(llm.Generate(ask(), metadata=given)) for _ in range(2)]
    assert all(len(request_id) == 32 for request_id in made)
    assert made[0] != made[1]


async def test_equal_request_ids_are_told_apart_in_the_engine(service: RunningService, llm: Stub) -> None:
    seen = []
    prepare = service.engines["fake-chat"].prepare

    async def spy(request: Any) -> Any:
        seen.append(request.request_id)
        return await prepare(request)

    service.engines["fake-chat"].prepare = spy
    for _ in range(2):
        await llm.Generate(ask(), metadata=(("x-request-id", "twin"),)).read()
    assert len(set(seen)) == 2
    assert all(request_id.startswith("twin-") for request_id in seen)


async def test_calls_without_a_deadline_get_the_default_one() -> None:
    async with (
        llm_service(grpc={"default_timeout_s": 0.2}) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        llm = llm_service_pb2_grpc.LLMServiceStub(channel)
        engine = service.engines["fake-chat"]
        engine.gates["decode"].shut()
        refused = await refusal(llm.Generate(ask()))
        assert refused.code == StatusCode.DEADLINE_EXCEEDED
        assert "0.2 s" in refused.message
        await engine.idle.wait()
        engine.gates["decode"].open()
        assert text_of([message async for message in llm.Generate(ask(prefill_s=0.4), timeout=60)])


async def test_watch_ignores_the_default_deadline() -> None:
    async with (
        llm_service(grpc={"default_timeout_s": 0.1}) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        watch = model_service_pb2_grpc.ModelServiceStub(channel).Watch(model_service_pb2.WatchRequest())
        for _ in range(2):  # the second comes after a second
            assert await watch.read() is not EOF


async def test_the_access_log_has_what_is_needed_and_no_prompt(llm: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    messages = [message async for message in llm.Generate(ask("confidential words", reply="private answer"))]
    assert messages
    await refusal(llm.Generate(ask("confidential words", sampling={"n": 0})))
    lines = [record for record in caplog.records if record.name == "gpt_server.access"]
    fields: list[Any] = [getattr(record, "fields") for record in lines]  # noqa: B009
    assert [line.getMessage() for line in lines] == ["LLMService/Generate"] * 2
    assert [(field["model"], field["outcome"]) for field in fields] == [
        ("fake-chat", "OK"),
        ("fake-chat", "INVALID_FIELD"),
    ]
    assert all(field["duration_s"] >= 0 for field in fields)
    everything = "".join(record.getMessage() + str(record.__dict__) for record in caplog.records)
    assert "confidential" not in everything
    assert "private" not in everything


def value(name: str, **labels: str) -> float:
    """A sample of the process's metrics."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_calls_are_counted(service: RunningService, llm: Stub) -> None:
    generate = {"service": "LLMService/Generate", "model": "fake-chat"}
    model = {"model": "fake-chat", "engine": "fake"}
    names = ("requests_total", "request_seconds_count")
    each = [generate | {"key_name": ""}, generate]
    before = [value(f"gpt_server_{name}", **labels) for name, labels in zip(names, each, strict=True)]
    tokens = value("gpt_server_completion_tokens_total", **model)
    first = value("gpt_server_time_to_first_token_seconds_count", **model)
    gaps = value("gpt_server_inter_token_seconds_count", **model)
    invalid = value("gpt_server_errors_total", reason="INVALID_FIELD", **generate)
    async for _ in llm.Generate(ask(tokens=4)):
        pass
    await refusal(llm.Generate(ask(sampling={"n": 0})))
    await service.service.calls.idle()
    after = [value(f"gpt_server_{name}", **labels) for name, labels in zip(names, each, strict=True)]
    assert after == [count + 2 for count in before]
    assert value("gpt_server_completion_tokens_total", **model) == tokens + 4
    assert value("gpt_server_time_to_first_token_seconds_count", **model) == first + 1
    assert value("gpt_server_inter_token_seconds_count", **model) == gaps + 3
    assert value("gpt_server_errors_total", reason="INVALID_FIELD", **generate) == invalid + 1
    assert value("gpt_server_in_flight_requests", service="LLMService/Generate") == 0


async def test_load_is_read_at_each_scrape(service: RunningService, llm: Stub) -> None:
    model = {"model": "fake-chat", "engine": "fake"}
    service.engines["fake-chat"].gates["prefill"].shut()
    calls = [llm.Generate(ask(sampling={"n": 2})), llm.Generate(ask())]
    for call in calls:
        await call.read()
    assert value("gpt_server_running_requests", **model) == 1
    assert value("gpt_server_queued_requests", **model) == 1
    for call in calls:
        call.cancel()


class BlockedContext:
    """A call whose caller reads nothing: its first write never ends."""

    def __init__(self) -> None:
        self.writing = asyncio.Event()

    def time_remaining(self) -> float:
        """The caller's deadline is far."""
        return 60.0

    async def send_initial_metadata(self, metadata: Any) -> None:
        """Is accepted."""

    async def write(self, message: Any) -> None:
        """Never ends."""
        self.writing.set()
        await asyncio.Event().wait()


async def test_a_call_cancelled_in_a_write_closes_its_generator_before_it_ends() -> None:
    seen: list[str] = []

    async def method(request: Any, context: Any) -> AsyncGenerator[str, None]:
        try:
            yield "message"
        except GeneratorExit:
            seen.append("closed")
            raise

    async def found(details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(method)

    calls, context = Calls(), BlockedContext()
    details = SimpleNamespace(method="/gpt_server.x.v1.X/Y", invocation_metadata=())
    inside = await CallInterceptor(calls, 60.0).intercept_service(found, details)
    task = asyncio.create_task(inside.unary_stream("request", context))
    await context.writing.wait()
    assert len(calls) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["closed"]
    assert len(calls) == 0
