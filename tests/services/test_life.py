"""Loading, drain and death of a process, in this one: what callers see, what is closed, how it exits."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import Exit, Service
from gpt_server.services.common.settings import BadSettings
from gpt_server.services.llm.__main__ import MODALITY
from tests.services.asking import Stub, ask, refusal, rest, text_of
from tests.support.service import FAKE_CHAT, RunningService, llm_service

FAKE: dict[str, Any] = dict(FAKE_CHAT)
LIMIT_S = 20.0  # only so that a failure ends


async def test_a_model_that_loads_says_so() -> None:
    async with llm_service(load=False) as service, grpc.aio.insecure_channel(service.address) as channel:
        refused = await refusal(LLMServiceStub(channel).Generate(ask()))
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "MODEL_LOADING")
        assert refused.retry_after_s == 5


async def test_a_drain_lets_running_calls_finish_and_refuses_new_ones(service: RunningService, llm: Stub) -> None:
    gate = service.engines["fake-chat"].gates["decode"]
    gate.shut()
    running = llm.Generate(ask())
    await gate.reached.wait() or await running.read()
    draining = asyncio.create_task(service.service.drain(asyncio.Event()))
    await service.service.models.changes.until(lambda: not service.service.models.ready)
    refused = await refusal(llm.Describe(pb.DescribeRequest(model="fake-chat")))
    assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert "draining" in refused.message
    assert not draining.done()
    gate.open()
    assert text_of(await rest(running)) == "You said: hello big world"
    await asyncio.wait_for(draining, LIMIT_S)


async def test_a_drain_that_takes_too_long_ends_the_calls() -> None:
    async with llm_service(drain_timeout_s=0.1) as service, grpc.aio.insecure_channel(service.address) as channel:
        engine = service.engines["fake-chat"]
        engine.gates["decode"].shut()
        call = LLMServiceStub(channel).Generate(ask())
        await call.read()
        await asyncio.wait_for(service.service.drain(asyncio.Event()), LIMIT_S)
        assert engine.idle.is_set()
        refused = await refusal(_rest(call))
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")


async def _rest(call: Any) -> Any:
    return await rest(call)


async def test_a_dead_engine_ends_every_call_of_the_process(service: RunningService, llm: Stub) -> None:
    engine = service.engines["fake-chat"]
    engine.gates["prefill"].shut()
    calls = [llm.Generate(ask()) for _ in range(4)]  # two of them wait for a slot
    for call in calls:
        await call.read()
    engine.died.set()
    dead = await asyncio.wait_for(service.service.dead, LIMIT_S)
    await service.service.fail(dead, "the engine has died")
    for call in calls:
        refused = await refusal(_rest(call))
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert (await refusal(llm.Generate(ask()))).reason == "ENGINE_UNAVAILABLE"
    admission = service.admissions["fake-chat"]
    assert (admission.running, admission.queued, engine.running()) == (0, 0, 0)


async def test_an_announce_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "announced.json"
    service = Service(MODALITY, ServiceSettings(replica="r", models=FAKE, announce_file=path))
    with pytest.raises(BadSettings, match=r"announce_file: .*/none/announced\.json: No such file or directory"):
        await service.open()
    await service.close()


async def test_engine_settings_are_checked_before_anything_is_loaded() -> None:
    models = {"m": {"engine": "fake", "model": "none", "engine_args": {"token_s": "fast", "speed": 3}}}
    with pytest.raises(BadSettings) as refused:
        async with llm_service(models):
            pass
    assert str(refused.value).splitlines() == [
        "models.m.engine_args.token_s: must be a valid number",
        "models.m.engine_args.speed: unknown argument; "
        "allowed: prefill_s, token_s, load_s, load_error, max_context_tokens, chat",
    ]


@asynccontextmanager
async def living(models: dict[str, Any] = FAKE) -> AsyncIterator[tuple[Service[Any], asyncio.Task[Exit]]]:
    """A service's whole life as a task, with its ports open. Signals to this process are the service's meanwhile."""
    service = Service(MODALITY, ServiceSettings(replica="test-0", models=models))
    opened = asyncio.Event()
    open_ports = service.open

    async def open_and_tell() -> None:
        await open_ports()
        opened.set()

    service.open = open_and_tell  # type: ignore[method-assign]
    life = asyncio.create_task(service.run())
    try:
        await asyncio.wait_for(opened.wait(), LIMIT_S)
        yield service, life
        await asyncio.wait_for(life, LIMIT_S)
    finally:
        life.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def ready(service: Service[Any]) -> None:
    """Returns when the models take requests."""
    async with asyncio.timeout(LIMIT_S):
        await service.models.changes.until(lambda: service.models.ready)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_is_an_end_as_wished(number: signal.Signals) -> None:
    async with living() as (service, life):
        await ready(service)
        os.kill(os.getpid(), number)
    assert life.result() == Exit.DRAINED


async def test_a_signal_while_loading_is_an_end_as_wished() -> None:
    async with living({"fake-chat": {**FAKE["fake-chat"], "engine_args": {"load_s": 3600.0}}}) as (_, life):
        os.kill(os.getpid(), signal.SIGTERM)
    assert life.result() == Exit.DRAINED


async def test_a_second_signal_does_not_wait_for_running_calls() -> None:
    async with living() as (service, life):
        await ready(service)
        engine: Any = service.models["fake-chat"].engine
        engine.gates["decode"].shut()
        async with grpc.aio.insecure_channel(service.address) as channel:
            call = LLMServiceStub(channel).Generate(ask())
            await call.read()
            os.kill(os.getpid(), signal.SIGTERM)
            await service.models.changes.until(lambda: not service.models.ready)
            os.kill(os.getpid(), signal.SIGTERM)
            assert (await refusal(_rest(call))).reason == "ENGINE_UNAVAILABLE"
    assert life.result() == Exit.DRAINED


async def test_a_model_that_cannot_be_loaded_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    broken = {"fake-chat": {**FAKE["fake-chat"], "engine_args": {"load_error": "the weights are missing"}}}
    async with living(broken) as (_, life):
        pass
    assert life.result() == Exit.LOAD_FAILED
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "model fake-chat failed to load: the weights are missing"
    ]


async def test_a_second_model_that_cannot_be_loaded_ends_the_calls_of_the_first() -> None:
    models = {**FAKE, "second": {"engine": "fake", "model": "none", "engine_args": {"load_error": "no", "load_s": 0.5}}}
    async with living(models) as (service, life):
        async with asyncio.timeout(LIMIT_S):
            await service.models.changes.until(lambda: service.models["fake-chat"].state_name == "ready")
        engine: Any = service.models["fake-chat"].engine
        engine.gates["decode"].shut()
        async with grpc.aio.insecure_channel(service.address) as channel:
            refused = await refusal(LLMServiceStub(channel).Generate(ask()))
            assert (refused.reason, refused.message) == ("ENGINE_UNAVAILABLE", "model 'second' could not be loaded")
    assert life.result() == Exit.LOAD_FAILED


async def test_a_dead_engine_ends_the_process() -> None:
    async with living() as (service, life):
        await ready(service)
        async with grpc.aio.insecure_channel(service.address) as channel:
            refused = await refusal(LLMServiceStub(channel).Generate(ask(die_after=1)))
            assert refused.reason == "ENGINE_UNAVAILABLE"
    assert life.result() == Exit.ENGINE_DIED
