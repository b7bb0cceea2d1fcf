"""Watch: the whole picture, at once, at every change, every second, and until the process stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from gpt_server.common.v1 import model_pb2
from gpt_server.common.v1 import model_service_pb2 as pb
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from gpt_server.services.common import watch as watch_module
from gpt_server.services.common.admission import Admission
from gpt_server.services.common.errors import ModelLoading, ModelNotFound, WrongModelKind
from gpt_server.services.common.models import Models, ServedModel
from tests.services.asking import Stub, ask
from tests.support.service import llm_service

MODELS = {
    "base": {
        "engine": "fake",
        "model": "none",
        "names": ["main", "alias"],
        "adapters": {"poet": "folder"},
        "limits": {"max_running": 3, "max_queued": 7},
    },
    "fake-chat": {"engine": "fake", "model": "none"},
}


@pytest.fixture
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the changes as the only cause of a message."""
    monkeypatch.setattr(watch_module, "PERIOD_S", 3600.0)


async def states(watch: Any) -> AsyncIterator[list[str]]:
    """The models' states, message by message."""
    async for picture in watch:
        yield [pb.ModelState.Name(model.state).removeprefix("MODEL_STATE_") for model in picture.models]


async def test_the_picture_is_whole() -> None:
    async with llm_service(MODELS) as service, grpc.aio.insecure_channel(service.address) as channel:
        watch: Stub = ModelServiceStub(channel).Watch(pb.WatchRequest())
        picture = await watch.read()
    assert (picture.replica, picture.version) == ("test-0", "0.1.0")
    base, poet, other = picture.models
    assert (base.model.name, list(base.model.aliases), base.model.parent) == ("main", ["alias"], "")
    assert (poet.model.name, list(poet.model.aliases), poet.model.parent) == ("main:poet", ["poet"], "main")
    assert (other.model.name, other.model.engine) == ("fake-chat", "fake")
    assert {model.state for model in picture.models} == {pb.MODEL_STATE_READY}
    limits = model_pb2.ModelLimits(max_context_tokens=4096, max_running=3, max_queued=7)
    assert base.model.limits == poet.model.limits == limits
    assert base.model.kind == model_pb2.MODEL_KIND_LLM
    assert list(base.model.capabilities) == list(poet.model.capabilities)
    assert model_pb2.CAPABILITY_CHAT in base.model.capabilities
    assert base.model.created.seconds > 1_700_000_000


@pytest.mark.usefixtures("no_timer")
async def test_every_change_is_told_until_the_stream_ends() -> None:
    life = AsyncExitStack()
    service = await life.enter_async_context(llm_service(load=False))
    async with grpc.aio.insecure_channel(service.address) as channel:
        watch = ModelServiceStub(channel).Watch(pb.WatchRequest())
        seen = states(watch)
        assert await anext(seen) == ["LOADING"]
        await service.service.load()
        assert await anext(seen) == ["READY"]
        await service.service.drain(asyncio.Event())
        assert await anext(seen) == ["DRAINING"]
        await life.aclose()
        assert [state async for state in seen] == [["DRAINING"]]
        assert await watch.code() == grpc.StatusCode.OK


@pytest.mark.usefixtures("no_timer")
async def test_a_dead_engine_is_told() -> None:
    async with llm_service() as service, grpc.aio.insecure_channel(service.address) as channel:
        seen = states(ModelServiceStub(channel).Watch(pb.WatchRequest()))
        assert await anext(seen) == ["READY"]
        await service.service.fail(service.service.models["fake-chat"], "it has died")
        assert await anext(seen) == ["FAILED"]


async def test_the_load_is_told_every_second() -> None:
    async with llm_service(MODELS) as service, grpc.aio.insecure_channel(service.address) as channel:
        service.engines["fake-chat"].gates["prefill"].shut()
        watch: Stub = ModelServiceStub(channel).Watch(pb.WatchRequest())
        assert (await watch.read()).models[2].running == 0
        call = LLMServiceStub(channel).Generate(ask())
        await call.read()
        assert (await watch.read()).models[2].running == 1
        call.cancel()
        watch.cancel()


async def test_many_watchers_see_the_same() -> None:
    async with llm_service(load=False) as service, grpc.aio.insecure_channel(service.address) as channel:
        watches = [states(ModelServiceStub(channel).Watch(pb.WatchRequest())) for _ in range(5)]
        assert [await anext(watch) for watch in watches] == [["LOADING"]] * 5
        await service.service.load()
        for watch in watches:
            while await anext(watch) != ["READY"]:
                pass


def served(*names: str, **changed: Any) -> ServedModel[Any]:
    """A model that is not loaded."""
    return ServedModel(names[0], dict.fromkeys(names), "fake", model_pb2.MODEL_KIND_LLM, Admission(1, 1), **changed)


async def test_an_unknown_name_is_answered_with_at_most_ten_names() -> None:
    models: Models[Any] = Models("r", {f"m{i}": served(f"m{i}", f"alias{i}") for i in range(8)})
    with pytest.raises(ModelNotFound) as refused:
        models.resolve("x" * 500)
    message = str(refused.value)
    assert message.endswith("served: m0, alias0, m1, alias1, m2, alias2, m3, alias3, m4, alias4, …")
    assert len(message) < 300


async def test_a_model_that_loads_says_when_to_retry() -> None:
    models: Models[Any] = Models("r", {"m": served("m")})
    with pytest.raises(ModelLoading) as refused:
        models.resolve("m")
    assert refused.value.retry_after_s > 0


async def test_a_model_of_another_kind_is_refused() -> None:
    models: Models[Any] = Models("r", {"m": served("m", state=pb.MODEL_STATE_READY)})
    assert models.resolve("m", model_pb2.MODEL_KIND_LLM) == (models["m"], None)
    with pytest.raises(WrongModelKind, match="does llm, not unspecified"):
        models.resolve("m", model_pb2.MODEL_KIND_UNSPECIFIED)
