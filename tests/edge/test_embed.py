"""Vectors, scores and labels over HTTP, with the fake engine: shapes, fields, errors, leaving callers."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import pytest_asyncio

from tests.support.edge import edge_server
from tests.support.service import embed_service, llm_service

LIMIT_S = 10.0  # only so that a failure ends
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG rest").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an edge in front of fake models of every kind, for tests that leave nothing behind."""
    moderation = {"thresholds": {"violence": 0.99}, "labels": {"custom": "hate"}}
    async with (
        embed_service() as service,
        llm_service() as chat,
        edge_server([service.address, chat.address], moderation=moderation) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        yield client


in_module = pytest.mark.asyncio(loop_scope="module")


async def post(http: httpx2.AsyncClient, path: str, **body: Any) -> Any:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def error(http: httpx2.AsyncClient, path: str, **body: Any) -> tuple[int, str, str]:
    answer = await http.post(path, json=body)
    found = answer.json()["error"]
    return answer.status_code, found["code"], found["param"]


def embedding(given: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "fake-embedding", "input": given} | fields


@in_module
async def test_embeddings(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1/embeddings", **embedding(["one two", "three"]))
    assert answer["object"] == "list"
    assert answer["model"] == "fake-embedding"
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert [(row["object"], row["index"], len(row["embedding"])) for row in answer["data"]] == [
        ("embedding", 0, 16),
        ("embedding", 1, 16),
    ]


@in_module
async def test_base64_is_the_same_numbers(http: httpx2.AsyncClient) -> None:
    plain = await post(http, "/v1/embeddings", **embedding("one two"))
    coded = await post(http, "/v1/embeddings", **embedding("one two", encoding_format="base64"))
    row = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    assert np.array_equal(row, np.array(plain["data"][0]["embedding"], dtype=np.float32))


@in_module
async def test_small_numbers_are_those_of_voyage(http: httpx2.AsyncClient) -> None:
    """Int8 is scaled; of bits, `ubinary` are their bytes and `binary` the same as signed numbers, 128 less."""
    floats = np.array((await post(http, "/v1/embeddings", **embedding("one two")))["data"][0]["embedding"])
    packed = np.packbits(floats > 0)
    expected = {"int8": np.rint(floats * 127), "ubinary": packed, "binary": packed.astype(int) - 128}
    for name, numbers in expected.items():
        asked = embedding(["one two", "three"], output_dtype=name)
        first, second = [row["embedding"] for row in (await post(http, "/v1/embeddings", **asked))["data"]]
        assert first == numbers.tolist()
        assert len(second) == len(first)
        coded = await post(http, "/v1/embeddings", **asked, encoding_format="base64")
        raw = base64.b64decode(coded["data"][0]["embedding"])
        assert np.array_equal(np.frombuffer(raw, np.uint8 if name == "ubinary" else np.int8), numbers)


@in_module
@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [
        ([1, 2, 3], 1, 3),
        ([[1, 2], [3]], 2, 3),
        ({"text": "a cat", "image": PNG}, 1, 3),
        ([PNG, "text"], 2, 2),
        ([{"text": "only text"}], 1, 2),
    ],
)
async def test_forms_of_input(http: httpx2.AsyncClient, given: Any, count: int, tokens: int) -> None:
    answer = await post(http, "/v1/embeddings", **embedding(given))
    assert (len(answer["data"]), answer["usage"]["prompt_tokens"]) == (count, tokens)


@in_module
async def test_options_reach_the_model(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1/embeddings", **embedding("a", dimensions=8, normalize=False, prompt_name="query"))
    row = answer["data"][0]["embedding"]
    assert len(row) == 8
    assert abs(np.linalg.norm(row) - 1) > 0.1
    assert answer["usage"]["prompt_tokens"] == 2
    answer = await post(http, "/v1/embeddings", **embedding("w " * 600, truncate_prompt_tokens=-1))
    assert answer["usage"]["prompt_tokens"] == 512


@in_module
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (embedding([]), "invalid_value", "input"),
        (embedding(""), "invalid_value", "input[0]"),
        (embedding(["a", ""]), "invalid_value", "input[1]"),
        (embedding("a", dimensions=7), "invalid_value", "dimensions"),
        (embedding("a", encoding_format="hex"), "invalid_value", "encoding_format"),
        (embedding("a", output_dtype="int4"), "invalid_value", "output_dtype"),
        (embedding("a", output_dtype="int8", normalize=False), "invalid_value", "output_dtype"),
        (embedding(["a", "w " * 600]), "context_length_exceeded", "input[1]"),
        (embedding("a", query="b"), "unsupported_parameter", "query"),
        (embedding("a", engine="b"), "unsupported_parameter", "engine"),
        (embedding("a", prompt="b", prompt_name="query"), "invalid_value", "prompt_name"),
        (embedding("a", prompt_name="nonsense"), "invalid_value", "prompt_name"),
        (embedding("a", truncate_prompt_tokens=0), "invalid_value", "truncate_prompt_tokens"),
        (embedding(["data:image/png;base64,AAAA"]), "invalid_media", "input[0]"),
        (embedding("a", model="fake-chat"), "wrong_model_kind", "model"),
        (embedding("a", model="fake-rerank"), "wrong_model_kind", "model"),
    ],
)
async def test_refusals_name_the_field(http: httpx2.AsyncClient, body: Any, code: str, param: str) -> None:
    assert await error(http, "/v1/embeddings", **body) == (400, code, param)


@in_module
async def test_a_chat_with_an_embedding_model(http: httpx2.AsyncClient) -> None:
    chat = {"model": "fake-embedding", "messages": [{"role": "user", "content": "hi"}]}
    assert await error(http, "/v1/chat/completions", **chat) == (400, "wrong_model_kind", "model")
    assert await error(http, "/v1/completions", model="fake-rerank", prompt="hi") == (400, "wrong_model_kind", "model")


@in_module
async def test_models_say_what_they_do(http: httpx2.AsyncClient) -> None:
    listed = {model["id"]: model for model in (await http.get("/v1/models")).json()["data"]}
    assert listed["fake-rerank"]["kind"] == "embed"
    assert "rerank" in listed["fake-rerank"]["capabilities"]
    assert listed["fake-embedding"]["max_model_len"] == 512


@in_module
@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_rerank(http: httpx2.AsyncClient, path: str) -> None:
    body = {"model": "fake-rerank", "query": "a b", "documents": ["c", {"text": "a b"}, "a"], "top_n": None}
    answer = await post(http, path, **body)
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    assert answer["results"][0]["document"] == {"text": "a b"}
    assert answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"]
    assert answer["usage"]["total_tokens"] == answer["meta"]["tokens"]["input_tokens"] == 10
    assert answer["model"] == "fake-rerank"
    answer = await post(http, path, **(body | {"top_n": 1, "return_documents": False}))
    assert [result.keys() for result in answer["results"]] == [{"index", "relevance_score"}]


@in_module
async def test_rerank_in_the_shape_of_tei(http: httpx2.AsyncClient) -> None:
    body = {"query": "a b", "texts": ["c", "a b"], "raw_scores": True}
    assert await post(http, "/rerank", **body) == [{"index": 1, "score": 4.0}, {"index": 0, "score": -4.0}]
    assert (await post(http, "/rerank", **body, return_text=True))[0]["text"] == "a b"
    long = {"query": "a", "texts": ["w " * 600]}
    assert await error(http, "/rerank", **long) == (400, "context_length_exceeded", "texts[0]")
    assert len(await post(http, "/rerank", **long, truncate=True)) == 1


@in_module
async def test_rerank_refusals(http: httpx2.AsyncClient) -> None:
    body = {"model": "fake-rerank", "query": "a", "documents": ["b"]}
    assert await error(http, "/rerank", **(body | {"documents": []})) == (400, "invalid_value", "documents")
    assert await error(http, "/rerank", **(body | {"texts": ["x"]})) == (400, "invalid_value", "documents")
    assert await error(http, "/rerank", **(body | {"top_n": 0})) == (400, "invalid_value", "top_n")
    assert await error(http, "/rerank", **(body | {"query": ""})) == (400, "invalid_value", "query")
    assert await error(http, "/rerank", **(body | {"model": "fake-embedding"})) == (400, "wrong_model_kind", "model")
    assert await error(http, "/rerank", **body, max_tokens_per_doc=5) == (
        400,
        "unsupported_parameter",
        "max_tokens_per_doc",
    )


@in_module
@pytest.mark.parametrize("path", ["/v1/score", "/score"])
async def test_score(http: httpx2.AsyncClient, path: str) -> None:
    answer = await post(http, path, model="fake-rerank", text_1="a", text_2=["a", "b"], raw_scores=True)
    assert [(row["index"], row["object"], row["score"]) for row in answer["data"]] == [
        (0, "score", 4.0),
        (1, "score", -4.0),
    ]
    answer = await post(http, path, model="fake-rerank", queries=["a", "b"], documents=["a", "b"])
    assert all(row["score"] > 0.9 for row in answer["data"])
    uneven = {"model": "fake-rerank", "text_1": ["a", "b"], "text_2": ["a"]}
    assert await error(http, path, **uneven) == (400, "invalid_value", "text_1")


@in_module
async def test_classify(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1/classify", model="fake-classification", input=["violence", "safe"])
    assert [row["label"] for row in answer["data"]] == ["violence", "safe"]
    assert answer["data"][0]["num_classes"] == 4
    assert answer["data"][0]["labels"]["violence"] == max(answer["data"][0]["probs"])


@in_module
async def test_moderations(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1/moderations", input=["self-harm", "violence", "all is well"])
    first, second, third = answer["results"]
    assert answer["model"] == "fake-classification"
    assert len(first["categories"]) == len(first["category_scores"]) == 13
    assert (first["flagged"], first["categories"]["self-harm"]) == (True, True)
    assert first["category_applied_input_types"]["self-harm"] == ["text"]
    assert first["category_applied_input_types"]["illicit"] == []
    assert second["category_scores"]["violence"] > 0.9
    assert (second["flagged"], second["categories"]["violence"]) == (False, False)  # its own threshold is 0.99
    assert third["flagged"] is False
    assert set(third["labels"]) == {"safe", "violence", "self-harm", "custom"}


@in_module
async def test_moderations_follow_thresholds_and_labels(http: httpx2.AsyncClient) -> None:
    (result,) = (await post(http, "/v1/moderations", input="violence", threshold=0.5))["results"]
    assert result["flagged"] is True
    (result,) = (await post(http, "/v1/moderations", input="custom"))["results"]
    assert (result["categories"]["hate"], result["flagged"]) == (True, True)
    parts = [{"type": "text", "text": "custom"}, {"type": "image_url", "image_url": {"url": PNG}}]
    (result,) = (await post(http, "/v1/moderations", input=parts))["results"]
    assert result["category_applied_input_types"]["hate"] == ["text", "image"]
    assert len((await post(http, "/v1/moderations", input="w " * 600))["results"]) == 1


async def test_a_label_of_no_category_flags_by_itself() -> None:
    """Such as those of prompt-injection models."""
    async with (
        embed_service() as service,
        edge_server([service.address], moderation={"safe_labels": ["self-harm"]}) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        (result,) = (await post(client, "/v1/moderations", input="custom"))["results"]
        assert (result["flagged"], any(result["categories"].values())) == (True, False)


@in_module
async def test_the_sdk_gets_its_numbers(http: httpx2.AsyncClient) -> None:
    """It asks for base64 unless told otherwise."""
    async with openai.AsyncOpenAI(base_url=f"{http.base_url}/v1".replace("//v1", "/v1"), api_key="none") as client:
        coded = await client.embeddings.create(model="fake-embedding", input=["one", "two"])
        plain = await client.embeddings.create(model="fake-embedding", input=["one", "two"], encoding_format="float")
        assert [row.embedding for row in coded.data] == [row.embedding for row in plain.data]
        moderated = await client.moderations.create(input="self-harm")
        assert moderated.results[0].categories.self_harm is True
