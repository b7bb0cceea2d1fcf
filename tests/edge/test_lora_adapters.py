"""Adapters by vLLM's routes, and by the first request that names one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.edge.asking import chat
from tests.support.edge import RunningEdge, edge_server
from tests.support.service import RunningService, llm_service

SETTINGS = {"allow_adapter_changes": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("poet", "cook"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text("{}")
    return tmp_path


@pytest.fixture
async def services(folder: Path) -> AsyncIterator[list[RunningService]]:
    """Two replicas of a model that loads adapters."""
    model = {"engine": "fake", "model": "none", "adapter_folder": str(folder)}
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(llm_service({"base": model}, replica=f"r{i}")) for i in range(2)]


@pytest.fixture
async def http(services: list[RunningService]) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        edge_server([service.address for service in services], **SETTINGS) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        yield client


def loaded(services: list[RunningService]) -> list[list[str]]:
    return [[*service.engines["base"].adapters] for service in services]


async def said(http: httpx2.AsyncClient, model: str) -> str:
    response = await http.post("/v1/chat/completions", json=chat(model=model))
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


async def test_load_and_unload_on_every_replica(http: httpx2.AsyncClient, services: list[RunningService]) -> None:
    response = await http.post("/v1/load_lora_adapter", json={"lora_name": "bard", "lora_path": "poet"})
    assert (response.status_code, response.text) == (200, "Success: LoRA adapter 'bard' added successfully.")
    assert loaded(services) == [["bard"], ["bard"]]
    assert [(await said(http, name)).startswith("bard, you said") for name in ("bard", "base:bard")] == [True, True]
    listing = (await http.get("/v1/models")).json()["data"]
    assert {model["id"]: model["parent"] for model in listing} == {"base": None, "bard": "base", "base:bard": "base"}
    response = await http.post("/v1/unload_lora_adapter", json={"lora_name": "bard", "lora_int_id": 3})
    assert (response.status_code, response.text) == (200, "Success: LoRA adapter 'bard' removed successfully.")
    assert loaded(services) == [[], []]
    assert (await http.post("/v1/chat/completions", json=chat(model="bard"))).status_code == 404


async def test_the_first_request_loads_where_it_goes(http: httpx2.AsyncClient, services: list[RunningService]) -> None:
    assert (await said(http, "base:cook")).startswith("cook, you said")
    assert sorted(loaded(services)) == [[], ["cook"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("load", {"lora_name": "x", "lora_path": "../x"}, 400, "invalid_value", "lora_path"),
        ("load", {"lora_name": "x", "lora_path": "none"}, 400, "invalid_value", "lora_path"),
        ("load", {"lora_name": "a b", "lora_path": "poet"}, 400, "invalid_value", "lora_name"),
        ("load", {"lora_path": "poet"}, 400, "invalid_value", "lora_name"),
        (
            "load",
            {"lora_name": "x", "lora_path": "poet", "base_model_name": "y"},
            404,
            "model_not_found",
            "base_model_name",
        ),
        ("load", {"lora_name": "x", "path": "poet"}, 400, "unsupported_parameter", "path"),
        ("unload", {"lora_name": "x"}, 404, "model_not_found", "lora_name"),
        ("unload", {"lora_name": "base"}, 404, "model_not_found", "lora_name"),
    ],
)
async def test_what_is_refused(
    http: httpx2.AsyncClient, path: str, body: dict[str, str], status: int, code: str, param: str | None
) -> None:
    response = await http.post(f"/v1/{path}_lora_adapter", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)


async def test_an_adapter_that_is_nowhere(http: httpx2.AsyncClient) -> None:
    response = await http.post("/v1/chat/completions", json=chat(model="base:none"))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["load", "unload"])
async def test_off_unless_allowed(edge: RunningEdge, path: str) -> None:
    body = {"lora_name": "x"} | ({"lora_path": "y"} if path == "load" else {})
    async with httpx2.AsyncClient(base_url=edge.url) as client:
        response = await client.post(f"/v1/{path}_lora_adapter", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "route_not_served")
    assert "allow_adapter_changes" in response.json()["error"]["message"]
