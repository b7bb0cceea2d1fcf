"""Health, documentation, tokens, and routes that do not exist."""

from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_health(shared: httpx2.AsyncClient) -> None:
    assert (await shared.get("/health")).json() == {"status": "ok"}
    assert (await shared.get("/version")).json()["version"]
    for path in ("/readyz", "/readyz?models=all"):
        assert (await shared.get(path)).json() == {"ready": True, "models": {"fake-chat": "ready"}}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/batches"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/audio/voice_consents"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/files/f/content"),
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/chat/completions/c1"),
        ("DELETE", "/v1/models/fake-chat"),
    ],
)
async def test_routes_of_openai_that_are_not_served(shared: httpx2.AsyncClient, method: str, path: str) -> None:
    response = await shared.request(method, path)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "route_not_served"
    assert f"{method} {path}" in error["message"]
    assert "not serve it yet" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("POST", "/v1/chat", 404, "unknown_url"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
        ("GET", "/v1/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/tokenize", 405, "method_not_allowed"),
    ],
)
async def test_other_routes(shared: httpx2.AsyncClient, method: str, path: str, status: int, code: str) -> None:
    response = await shared.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.headers["x-request-id"].startswith("req_")


async def test_tokens(shared: httpx2.AsyncClient) -> None:
    body = {"model": "fake-chat", "prompt": "a b c", "return_token_strs": True}
    answer = (await shared.post("/tokenize", json=body)).json()
    assert answer.keys() == {"count", "max_model_len", "tokens", "token_strs"}
    assert (answer["count"], answer["max_model_len"], answer["token_strs"]) == (3, 4096, ["a", " b", " c"])
    back = await shared.post("/detokenize", json={"model": "fake-chat", "tokens": answer["tokens"]})
    assert back.json() == {"prompt": "a b c"}
    conversation = {"model": "fake-chat", "messages": [{"role": "user", "content": "a b c"}]}
    answer = (await shared.post("/tokenize", json=conversation)).json()
    assert (answer["count"], answer["token_strs"]) == (3, None)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ("/tokenize", {"prompt": "x", "add_generation_prompt": True}, "add_generation_prompt"),
        ("/detokenize", {"tokens": [999999]}, "tokens[0]"),
        ("/detokenize", {"tokens": ["x"]}, "tokens[0]"),
    ],
)
async def test_faults_of_tokens(shared: httpx2.AsyncClient, path: str, body: Any, param: str) -> None:
    response = await shared.post(path, json={"model": "fake-chat"} | body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_the_documentation_has_every_route(shared: httpx2.AsyncClient) -> None:
    document = (await shared.get("/openapi.json")).json()
    assert document["paths"].keys() == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/score",
        "/score",
        "/v1/classify",
        "/classify",
        "/v1/moderations",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/v1/audio/voices",
        "/v1/load_lora_adapter",
        "/v1/unload_lora_adapter",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/images/variations",
        "/v1/images/files/{name}",
        "/v1/models",
        "/v1/models/{model_id}",
        "/tokenize",
        "/detokenize",
        "/health",
        "/readyz",
        "/version",
    }
    request = document["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert request["messages"]["items"] == {"$ref": "#/components/schemas/Message"}
    assert "422" not in document["paths"]["/v1/chat/completions"]["post"]["responses"]
