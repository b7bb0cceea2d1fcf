"""Models: what is listed, what is not there, what is not ready."""

import httpx2
import pytest

from gpt_server.common.v1 import model_pb2
from tests.edge.asking import chat
from tests.edge.stub import Stub, answer, status_of, stub_service
from tests.support.edge import RunningEdge, edge_server


async def test_models(http: httpx2.AsyncClient) -> None:
    listing = (await http.get("/v1/models")).json()
    assert listing["object"] == "list"
    assert [model["id"] for model in listing["data"]] == ["fake-chat", "org/alias"]
    model, alias = listing["data"]
    assert (model["object"], model["owned_by"], model["root"]) == ("model", "gpt-server", "fake-chat")
    assert isinstance(model["created"], int)
    assert model["created"] > 1_700_000_000
    assert (model["max_model_len"], model["kind"], model["engine"], model["parent"]) == (4096, "llm", "fake", None)
    assert "chat" in model["capabilities"]
    assert alias == model | {"id": "org/alias"}


@pytest.mark.parametrize("path", ["org/alias", "org%2Falias", "fake-chat"])
async def test_one_model(http: httpx2.AsyncClient, path: str) -> None:
    model = (await http.get(f"/v1/models/{path}")).json()
    assert model["id"] == path.replace("%2F", "/")
    assert model["root"] == "fake-chat"


async def test_a_model_that_is_not_there(http: httpx2.AsyncClient) -> None:
    for response in (
        await http.get("/v1/models/nope"),
        await http.post("/v1/chat/completions", json=chat(model="nope")),
        await http.post("/v1/completions", json={"model": "nope", "prompt": "x"}),
        await http.post("/tokenize", json={"model": "nope", "prompt": "x"}),
    ):
        assert response.status_code == 404
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "`nope` does not exist" in error["message"]
        assert "`fake-chat`" in error["message"]


async def test_an_adapter_has_a_parent() -> None:
    statuses = [status_of("m"), status_of("m:fr", parent="m")]
    async with (
        stub_service(statuses=statuses) as other,
        edge_server([other.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        assert (await client.get("/v1/models/m:fr")).json()["parent"] == "m"


async def test_an_expected_model_is_not_ready(stub: Stub) -> None:
    async with (
        edge_server([stub.address], expected_models=("soon",)) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        for response in (
            await client.post("/v1/chat/completions", json=chat(model="soon")),
            await client.get("/v1/models/soon"),
        ):
            assert (response.status_code, response.json()["error"]["code"]) == (503, "model_loading")
            assert 1 <= int(response.headers["retry-after"]) <= 60
        assert (await client.get("/readyz")).status_code == 200
        response = await client.get("/readyz?models=all")
        assert response.status_code == 503
        assert response.json() == {"ready": False, "models": {"m": "ready", "soon": "loading"}}


async def test_chat_needs_a_chat_template() -> None:
    status = status_of("m", capabilities=[model_pb2.CAPABILITY_COMPLETION])
    async with (
        stub_service(answer, statuses=[status]) as stub,
        edge_server([stub.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        response = await client.post("/v1/chat/completions", json=chat(model="m"))
        assert (response.status_code, response.json()["error"]["code"]) == (400, "wrong_model_kind")
        response = await client.post("/v1/completions", json={"model": "m", "prompt": "x"})
        assert response.status_code == 200


async def test_a_model_of_another_kind() -> None:
    async with (
        stub_service(answer, statuses=[status_of("m", kind=99)]) as stub,
        edge_server([stub.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        for path, body in (("/v1/completions", {"prompt": "x"}), ("/tokenize", {"prompt": "x"})):
            response = await client.post(path, json=body | {"model": "m"})
            assert response.json()["error"]["code"] == "wrong_model_kind"
    assert stub.requests == []


async def test_a_draining_edge_is_not_ready(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    edge.edge.draining = True
    assert (await http.get("/readyz")).status_code == 503
    assert (await http.get("/health")).status_code == 200
