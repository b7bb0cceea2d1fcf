"""The embed service over the fake engine: answers, formats, sizes, refusals, faults, leaving callers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from gpt_server.common.v1 import media_pb2
from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1 import embed_service_pb2_grpc, input_pb2
from gpt_server.services.embed import responses
from gpt_server.services.embed.engine import EmbedRequest, Input, Timings
from tests.services.asking import refusal
from tests.services.embed_asking import classify, embed, rerank, score, text, vectors
from tests.support.service import RunningService, embed_service

LIMIT_S = 10.0  # only so that a failure ends
Stub = Any


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    """Three models, two slots and one place in the queue each."""
    limits = {"max_running": 2, "max_queued": 1}
    models = {
        f"fake-{task}": {"engine": "fake", "model": "none", "limits": limits, "engine_args": {"task": task}}
        for task in ("embedding", "rerank", "classification")
    }
    async with embed_service(models) as running:
        yield running


@pytest.fixture
async def stub(service: RunningService) -> AsyncIterator[Stub]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield embed_service_pb2_grpc.EmbedServiceStub(channel)


async def test_vectors_come_in_order_with_usage_and_timings(stub: Stub) -> None:
    rows, messages = await vectors(stub.Embed(embed("one two", "three", "one two")))
    assert len(messages) == 1
    assert rows.shape == (3, 16)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    assert np.array_equal(rows[0], rows[2])
    assert not np.allclose(rows[0], rows[1])
    finished = messages[0].finished
    assert finished.usage.prompt_tokens == 5
    assert all(getattr(finished.timings, name) >= 0 for name in ("queue_s", "tokenize_s", "compute_s"))


def test_large_answers_come_in_parts() -> None:
    rows = np.random.default_rng(1).normal(size=(3_000, 384)).astype(np.float32)
    request = EmbedRequest("m", [Input(text="x")] * 3_000, normalize=False)
    parts = [*responses.embedded(request, responses.Outcome(rows, 7, Timings()))]
    assert len(parts) > 4
    assert all(part.ByteSize() <= 1024 * 1024 for part in parts)
    assert all(len(part.vectors) % part.row_bytes == 0 for part in parts)
    assert [part.HasField("finished") for part in parts] == [False] * (len(parts) - 1) + [True]
    assert b"".join(part.vectors for part in parts) == rows.tobytes()


async def test_ten_thousand_inputs_at_once(stub: Stub) -> None:
    rows, _ = await vectors(stub.Embed(embed(*[f"text {i}" for i in range(10_000)])))
    assert rows.shape == (10_000, 16)
    assert (await refusal(stub.Embed(embed(*["a"] * 10_001)))).field == "inputs"


async def test_shorter_vectors_are_scaled_again(stub: Stub) -> None:
    whole, _ = await vectors(stub.Embed(embed("one two", normalize=False)))
    short, _ = await vectors(stub.Embed(embed("one two", dimensions=8)))
    assert np.allclose(short, whole[:, :8] / np.linalg.norm(whole[:, :8]), atol=1e-6)


async def test_formats(stub: Stub) -> None:
    (row,), _ = await vectors(stub.Embed(embed("one two")))
    (message,) = [m async for m in stub.Embed(embed("one two", format=pb.VECTOR_FORMAT_INT8))]
    assert message.row_bytes == 16
    assert np.allclose(np.frombuffer(message.vectors, np.int8) / 127, row, atol=0.5 / 127 + 1e-6)
    (message,) = [m async for m in stub.Embed(embed("one two", format=pb.VECTOR_FORMAT_BINARY))]
    assert message.row_bytes == 2
    assert np.array_equal(np.unpackbits(np.frombuffer(message.vectors, np.uint8)), row > 0)


async def test_prompts_change_the_vector(stub: Stub) -> None:
    plain, _ = await vectors(stub.Embed(embed("one")))
    named, _ = await vectors(stub.Embed(embed("one", options=input_pb2.InputOptions(prompt_name="query"))))
    given, _ = await vectors(stub.Embed(embed("one", options=input_pb2.InputOptions(prompt="query:"))))
    assert np.array_equal(named, given)
    assert not np.array_equal(plain, named)


async def test_documents_come_best_first(stub: Stub) -> None:
    answer = await stub.Rerank(rerank("a b", "c", "a b", "a", "c c"))
    assert [result.index for result in answer.results] == [1, 2, 0, 3]
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < value < 1 for value in scores)
    answer = await stub.Rerank(rerank("a b", "c", "a b", "a", top_n=1, raw_scores=True))
    assert [(result.index, result.score) for result in answer.results] == [(1, 4.0)]


async def test_scores_of_pairs(stub: Stub) -> None:
    answer = await stub.Score(score(("a", "a"), ("a", "b"), raw_scores=True))
    assert list(answer.scores) == [4.0, -4.0]


async def test_labels(stub: Stub) -> None:
    answer = await stub.Classify(classify("violence here", "safe"))
    assert list(answer.labels) == ["safe", "violence", "self-harm", "custom"]
    assert [round(value, 2) for value in answer.results[0].scores] == [0.02, 0.98, 0.02, 0.02]


async def test_describe_and_tokenize(stub: Stub) -> None:
    described = await stub.Describe(pb.DescribeRequest(model="fake-embedding"))
    assert (described.dimensions, list(described.matryoshka_dimensions)) == (16, [8])
    assert {prompt.name for prompt in described.prompts} == {"query", "passage"}
    assert not (await stub.Describe(pb.DescribeRequest(model="fake-rerank"))).HasField("dimensions")
    assert (await stub.Describe(pb.DescribeRequest(model="fake-classification"))).multi_label
    tokens = await stub.Tokenize(pb.TokenizeRequest(model="fake-embedding", text="a b", return_token_strings=True))
    assert (list(tokens.token_ids), list(tokens.token_strings)) == ([0, 1], ["a", "b"])


PICTURE = media_pb2.Part(image=media_pb2.Image(media=media_pb2.Media(content=b"no picture")))


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (embed(), "INVALID_FIELD", "inputs"),
        (embed("a", ""), "INVALID_FIELD", "inputs[1].text"),
        (embed("a", dimensions=5), "INVALID_FIELD", "dimensions"),
        (embed("a", format=pb.VECTOR_FORMAT_INT8, normalize=False), "INVALID_FIELD", "format"),
        (embed("a", format=99), "INVALID_FIELD", "format"),
        (embed("a", options={"prompt_name": "nonsense"}), "INVALID_FIELD", "options.prompt_name"),
        (embed("a", options={"truncate_prompt_tokens": 0}), "INVALID_FIELD", "options.truncate_prompt_tokens"),
        (embed("a", "w " * 600), "CONTEXT_LENGTH_EXCEEDED", "inputs[1]"),
        (embed("a", model="fake-rerank"), "WRONG_MODEL_KIND", ""),
        (embed("a", model="nonsense"), "MODEL_NOT_FOUND", ""),
        (
            pb.EmbedRequest(model="fake-embedding", inputs=[input_pb2.Input()]),
            "INVALID_FIELD",
            "inputs[0]",
        ),
        (
            pb.EmbedRequest(model="fake-embedding", inputs=[input_pb2.Input(token_ids=input_pb2.TokenIds(ids=[-1]))]),
            "INVALID_FIELD",
            "inputs[0].token_ids.ids[0]",
        ),
        (
            pb.EmbedRequest(model="fake-embedding", inputs=[input_pb2.Input(parts=input_pb2.Parts(parts=[PICTURE]))]),
            "INVALID_MEDIA",
            "inputs[0]",
        ),
    ],
)
async def test_refusals(stub: Stub, request_: Any, reason: str, field: str) -> None:
    refused = await refusal(stub.Embed(request_))
    assert (refused.reason, refused.field) == (reason, field)


async def test_more_refusals(stub: Stub) -> None:
    assert (await refusal(stub.Rerank(rerank("q", "d", top_n=0)))).field == "top_n"
    assert (await refusal(stub.Rerank(rerank("q")))).field == "documents"
    assert (await refusal(stub.Rerank(rerank("q", "d", model="fake-embedding")))).message == (
        "model 'fake-embedding' does embeddings, not reranking"
    )
    assert (await refusal(stub.Score(score(("a", ""))))).field == "pairs[0].second.text"
    assert (await refusal(stub.Classify(classify("a", model="fake-rerank")))).reason == "WRONG_MODEL_KIND"
    assert (await refusal(stub.Rerank(rerank("q " * 600, "d")))).field == "documents[0]"


async def test_a_long_input_is_cut_only_if_asked(stub: Stub) -> None:
    rows, messages = await vectors(stub.Embed(embed("w " * 600, options={"truncate_prompt_tokens": -1})))
    assert messages[-1].finished.usage.prompt_tokens == 512
    assert len(rows) == 1


async def test_a_full_queue_refuses(service: RunningService, stub: Stub) -> None:
    engine, admission = service.engines["fake-embedding"], service.admissions["fake-embedding"]
    engine.gates["compute"].shut()
    calls = [asyncio.ensure_future(vectors(stub.Embed(embed("a")))) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: (admission.running, admission.queued) == (2, 1))
    refused = await refusal(stub.Embed(embed("a")))
    assert refused.reason == "OVERLOADED"
    assert refused.retry_after_s
    engine.gates["compute"].open()
    assert all(len(rows) == 1 for rows, _ in await asyncio.gather(*calls))


@pytest.mark.parametrize(
    ("script", "reason"), [("fail", "ENGINE_UNAVAILABLE"), ("crash", "INTERNAL"), ("die", "ENGINE_UNAVAILABLE")]
)
async def test_faults_of_the_engine(stub: Stub, script: str, reason: str) -> None:
    refused = await refusal(stub.Embed(embed(f'{{"fake": {{"{script}": true}}}}')))
    assert refused.reason == reason
    assert "secret" not in refused.message


def request_of(method: str) -> Any:
    return {"Embed": embed("a"), "Rerank": rerank("a", "b"), "Score": score(("a", "b")), "Classify": classify("a")}[
        method
    ]


MODELS = {
    "Embed": "fake-embedding",
    "Rerank": "fake-rerank",
    "Score": "fake-rerank",
    "Classify": "fake-classification",
}


@pytest.mark.parametrize("method", MODELS)
async def test_cancelled_in_the_queue(service: RunningService, stub: Stub, method: str) -> None:
    engine, admission = service.engines[MODELS[method]], service.admissions[MODELS[method]]
    engine.gates["compute"].shut()
    calls = [getattr(stub, method)(request_of(method)) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: (admission.running, admission.queued) == (2, 1))
        calls[2].cancel()
        await admission.changes.until(lambda: admission.queued == 0)
        assert admission.running == 2
        for call in calls[:2]:
            call.cancel()
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.computed == 0


@pytest.mark.parametrize("phase", ["prepare", "compute"])
@pytest.mark.parametrize("method", MODELS)
async def test_cancelled_in_the_engine(service: RunningService, stub: Stub, method: str, phase: str) -> None:
    engine, admission = service.engines[MODELS[method]], service.admissions[MODELS[method]]
    engine.gates[phase].shut()
    call = getattr(stub, method)(request_of(method))
    async with asyncio.timeout(LIMIT_S):
        await engine.gates[phase].reached.wait()
        call.cancel()
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.computed == 0


async def test_text_is_one_input(stub: Stub) -> None:
    """Parts of one input make one vector."""
    parts = input_pb2.Parts(parts=[media_pb2.Part(text="one"), media_pb2.Part(text="two")])
    joined, _ = await vectors(
        stub.Embed(pb.EmbedRequest(model="fake-embedding", inputs=[input_pb2.Input(parts=parts), text("one two")]))
    )
    assert np.array_equal(joined[0], joined[1])
