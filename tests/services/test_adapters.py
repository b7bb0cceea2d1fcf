"""Adapters that are loaded and unloaded while the model runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from gpt_server.common.v1 import model_pb2, model_service_pb2
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import llm_service_pb2_grpc
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import check
from gpt_server.services.embed.__main__ import MODALITY as EMBED
from gpt_server.services.llm.__main__ import MODALITY as LLM
from tests.services.asking import Stub, chat, refusal, rest, text_of
from tests.support.service import RunningService, llm_service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two adapters, a folder that holds none, one that does not fit, and an adapter outside."""
    root = tmp_path / "adapters"
    for name in ("poet", "cook"):
        (root / name).mkdir(parents=True)
        (root / name / "adapter_config.json").write_text("{}")
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "adapter_config.json").write_text("no JSON")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "adapter_config.json").write_text("{}")
    (root / "link").symlink_to(tmp_path / "outside")
    return root


@pytest.fixture
async def service(folder: Path) -> AsyncIterator[RunningService]:
    models = {
        "base": {"engine": "fake", "model": "none", "names": ["base", "alias"], "adapter_folder": str(folder)},
        "plain": {"engine": "fake", "model": "none"},
    }
    async with llm_service(models) as running:
        yield running


@pytest.fixture
async def llm(service: RunningService) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield llm_service_pb2_grpc.LLMServiceStub(channel)


async def said(llm: Stub, model: str) -> str:
    return text_of([message async for message in llm.Generate(pb.GenerateRequest(model=model, text="hi"))])


async def listed(llm: Stub) -> list[tuple[str, bool, int]]:
    answer = await llm.ListAdapters(pb.ListAdaptersRequest(model="base"))
    return [(adapter.name, adapter.loaded, adapter.running) for adapter in answer.adapters]


async def test_load_list_unload(llm: Stub) -> None:
    loaded = await llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="bard", folder="poet"))
    assert (loaded.adapter.name, list(loaded.adapter.aliases), loaded.adapter.parent) == ("base:bard", ["bard"], "base")
    assert [await said(llm, name) for name in ("base:bard", "bard")] == ["bard, you said: hi"] * 2
    assert await listed(llm) == [
        ("bard", True, 0),
        ("broken", False, 0),
        ("cook", False, 0),
        ("link", False, 0),
        ("poet", False, 0),
    ]
    await llm.UnloadAdapter(pb.UnloadAdapterRequest(adapter="bard"))
    refused = await refusal(llm.Generate(pb.GenerateRequest(model="base:bard", text="hi")))
    assert (refused.code, refused.reason) == (StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_a_request_loads_what_it_names(service: RunningService, llm: Stub) -> None:
    assert await asyncio.gather(*(said(llm, "base:poet") for _ in range(4))) == ["poet, you said: hi"] * 4
    assert await said(llm, "poet") == "poet, you said: hi"
    assert await said(llm, "alias:cook") == "cook, you said: hi"
    assert [*service.engines["base"].adapters] == ["poet", "cook"]


async def test_loading_twice_is_no_fault_but_another_folder_is(service: RunningService, llm: Stub) -> None:
    for _ in range(2):
        await llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="poet"))
    other = pb.LoadAdapterRequest(model="base", name="poet", folder="cook")
    refused = await refusal(llm.LoadAdapter(other))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", "name")
    other.replace = True
    await llm.LoadAdapter(other)
    assert service.engines["base"].adapters["poet"].name == "cook"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"folder": "../outside"}, "folder"),
        ({"folder": "link"}, "folder"),
        ({"folder": "/etc"}, "folder"),
        ({"folder": "."}, "folder"),
        ({"folder": "empty"}, "folder"),
        ({"folder": "none"}, "folder"),
        ({"folder": "broken"}, "folder"),
        ({"name": "a/b", "folder": "poet"}, "name"),
        ({"name": "", "folder": "poet"}, "name"),
        ({"name": "plain", "folder": "poet"}, "name"),
        ({"name": "alias", "folder": "poet"}, "name"),
    ],
)
async def test_what_cannot_be_loaded(service: RunningService, llm: Stub, fields: dict[str, Any], field: str) -> None:
    refused = await refusal(llm.LoadAdapter(pb.LoadAdapterRequest(**{"model": "base", "name": "new", **fields})))
    assert (refused.code, refused.field) == (StatusCode.INVALID_ARGUMENT, field)
    assert not service.engines["base"].adapters
    assert await said(llm, "base") == "You said: hi"


async def test_a_model_without_a_folder(llm: Stub) -> None:
    refused = await refusal(llm.LoadAdapter(pb.LoadAdapterRequest(model="plain", name="poet")))
    assert (refused.code, refused.reason) == (StatusCode.UNIMPLEMENTED, "UNSUPPORTED_FEATURE")
    assert (await refusal(llm.Generate(pb.GenerateRequest(model="plain:poet", text="hi")))).reason == "MODEL_NOT_FOUND"
    assert not (await llm.ListAdapters(pb.ListAdaptersRequest(model="plain"))).adapters


async def test_adapters_and_models_are_not_mistaken_for_each_other(llm: Stub) -> None:
    await llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="poet"))
    refused = await refusal(llm.LoadAdapter(pb.LoadAdapterRequest(model="poet", name="cook")))
    assert (refused.reason, refused.field) == ("INVALID_FIELD", "model")
    assert (await refusal(llm.UnloadAdapter(pb.UnloadAdapterRequest(adapter="base")))).reason == "MODEL_NOT_FOUND"


async def test_requests_end_before_their_adapter_goes(service: RunningService, llm: Stub) -> None:
    engine = service.engines["base"]
    await llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="poet"))
    engine.gates["decode"].shut()
    running = llm.Generate(pb.GenerateRequest(model="poet", chat=chat()))
    assert (await running.read()).HasField("started")
    unloading = llm.UnloadAdapter(pb.UnloadAdapterRequest(adapter="poet"))
    await service.service.models.changes.until(lambda: not service.service.models["base"].adapters)
    assert (await refusal(llm.Generate(pb.GenerateRequest(model="cook:poet", text="hi")))).reason == "MODEL_NOT_FOUND"
    assert "poet" in engine.adapters
    engine.gates["decode"].open()
    assert text_of(await rest(running)) == "poet, you said: hello big world"
    await unloading
    assert not engine.adapters


async def test_a_load_goes_on_when_its_caller_leaves(service: RunningService, llm: Stub) -> None:
    gate = service.engines["base"].gates["adapter"]
    gate.shut()
    call = llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="poet"))
    await gate.reached.wait()
    call.cancel()
    gate.open()
    await service.service.models.changes.until(lambda: service.service.models["base"].adapters == ["poet"])
    assert await said(llm, "poet") == "poet, you said: hi"


async def test_watch_tells_of_them(service: RunningService, llm: Stub) -> None:
    await llm.LoadAdapter(pb.LoadAdapterRequest(model="base", name="poet"))
    async with grpc.aio.insecure_channel(service.address) as channel:
        async for picture in ModelServiceStub(channel).Watch(model_service_pb2.WatchRequest()):
            found = {status.model.name: status.model for status in picture.models}
            break
    assert [*found] == ["base", "base:poet", "plain"]
    assert (found["base:poet"].parent, list(found["base:poet"].aliases)) == ("base", ["poet"])
    can_load = [name for name, model in found.items() if model_pb2.CAPABILITY_ADAPTER_LOADING in model.capabilities]
    assert can_load == ["base"]


def test_only_text_generation_has_an_adapter_folder(tmp_path: Path) -> None:
    model = {"engine": "fake", "model": "none", "adapter_folder": tmp_path}
    settings = ServiceSettings.model_validate({"replica": "r", "models": {"m": model}})
    assert check(LLM, settings) == []
    assert [problem.key for problem in check(EMBED, settings)] == ["models.m.adapter_folder"]
