"""What is counted and logged, and what is not."""

import asyncio
import logging

import httpx2
import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr

from gpt_server.edge.telemetry import LogFormat
from tests.edge.asking import chat, completion
from tests.support.edge import RunningEdge, edge_server
from tests.support.raw import raw_post
from tests.support.service import RunningService

PREFIX = "gpt_server_edge_"
LABELS = {"model", "service", "engine", "replica", "reason", "key_name", "le"}


def value(edge: RunningEdge, name: str, **labels: str) -> float | None:
    """Returns a sample of the metrics."""
    return edge.edge.telemetry.registry.get_sample_value(PREFIX + name, labels)


async def test_counts(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=chat("a b c"))
    await http.post("/v1/chat/completions", json=chat("a b c", stream=True))
    await http.post("/v1/completions", json=completion(["a b", "c"], max_tokens=2))
    await http.post("/v1/chat/completions", json=chat(temperature=9))
    await http.post("/v1/chat/completions", json=chat(model="x" * 300))
    assert value(edge, "requests_total", model="fake-chat", key_name="", reason="ok") == 3
    assert value(edge, "requests_total", model="fake-chat", key_name="", reason="invalid_field") == 1
    assert value(edge, "requests_total", model="", key_name="", reason="model_not_found") == 1
    assert value(edge, "prompt_tokens_total", model="fake-chat", key_name="") == 3 + 3 + 3
    assert value(edge, "completion_tokens_total", model="fake-chat", key_name="") == 5 + 5 + 4
    assert value(edge, "time_to_first_token_seconds_count", model="fake-chat") == 3
    assert value(edge, "request_duration_seconds_count", model="fake-chat") == 4
    assert value(edge, "requests_in_flight", model="fake-chat") == 0


async def test_time_and_state_in_the_fields_terms(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=chat("a b c"))
    assert value(edge, "time_per_output_token_seconds_count", model="fake-chat") == 1
    assert value(edge, "cached_tokens_total", model="fake-chat", key_name="") == 0
    assert value(edge, "choices_total", replica="test-0", reason="load") == 1
    (replica,) = edge.edge.replicas
    replica.acquire()
    edge.edge.telemetry.show(edge.edge.replicas)
    assert value(edge, "replica_state", replica="test-0", model="fake-chat") == 2
    assert value(edge, "replica_in_flight", replica="test-0") == 1
    assert value(edge, "replica_breaker_open", replica="test-0") == 0
    replica.release()
    replica.watched = False
    edge.edge.telemetry.show(edge.edge.replicas)
    assert value(edge, "replica_state", replica="test-0", model="fake-chat") == 0
    edge.edge.telemetry.show(())
    assert value(edge, "replica_state", replica="test-0", model="fake-chat") is None


async def test_labels_are_those_of_the_house_rules(edge: RunningEdge, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/chat/completions", json=chat())
    for family in edge.edge.telemetry.registry.collect():
        for sample in family.samples:
            assert set(sample.labels) <= LABELS
    assert generate_latest(edge.edge.telemetry.registry)


async def test_requests_that_wait_and_run(edge: RunningEdge, service: RunningService) -> None:
    engine, labels = service.engines["fake-chat"], {"model": "fake-chat"}
    engine.gates["prepare"].shut()
    engine.gates["prefill"].shut()
    async with raw_post(edge.url, "/v1/chat/completions", chat(stream=True), read_head=False) as answer:
        await asyncio.wait_for(engine.gates["prepare"].reached.wait(), 10)
        assert value(edge, "requests_waiting", **labels) == 1
        assert value(edge, "requests_in_flight", **labels) == 1
        engine.gates["prepare"].open()
        await answer.read_head()
        assert value(edge, "requests_waiting", **labels) == 0
        assert value(edge, "requests_in_flight", **labels) == 1
        engine.gates["prefill"].open()
        await answer.read_all()
    (replica,) = edge.edge.replicas
    await asyncio.wait_for(replica.idle.wait(), 10)
    assert value(edge, "requests_in_flight", **labels) == 0


async def test_a_request_for_a_model_that_sleeps_counts(service: RunningService) -> None:
    """Autoscalers wake a model by it."""
    async with edge_server([service.address], expected_models=("asleep",)) as edge:
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            await client.post("/v1/chat/completions", json=chat(model="asleep"))
        assert value(edge, "requests_total", model="asleep", key_name="", reason="model_loading") == 1


async def test_a_line_per_request_and_no_word_of_the_prompt(
    service: RunningService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gpt_server.edge")
    async with (
        edge_server([service.address], api_keys=SecretStr("alice:sk-1")) as edge,
        httpx2.AsyncClient(base_url=edge.url, headers={"authorization": "Bearer sk-1"}) as client,
    ):
        await client.post("/v1/chat/completions", json=chat("secret words"), headers={"x-request-id": "mine-1"})
        await client.get("/with%0aline%20status=200?query=secret")
    written = [record for record in caplog.records if record.name == "gpt_server.edge.access"]
    lines = [LogFormat(as_json=False).format(record) for record in written]
    assert len(lines) == 2
    for part in (
        "POST /v1/chat/completions request_id=mine-1 status=200 reason=ok key=alice model=fake-chat",
        "prompt_tokens=2 completion_tokens=4",
    ):
        assert part in lines[0]
    assert "GET /with%0Aline%20status%3D200 request_id=" in lines[1]
    assert "status=404 reason=unknown_url" in lines[1]
    assert not any("secret" in line or "sk-1" in line for line in lines)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_is_told_apart(edge: RunningEdge, service: RunningService, stream: bool) -> None:
    engine = service.engines["fake-chat"]
    engine.gates["prefill"].shut()
    async with raw_post(edge.url, "/v1/chat/completions", chat(stream=stream), read_head=False) as answer:
        await asyncio.wait_for(engine.gates["prefill"].reached.wait(), 10)
        answer.leave()
        (replica,) = edge.edge.replicas
        await asyncio.wait_for(replica.idle.wait(), 10)
        await asyncio.wait_for(engine.idle.wait(), 10)
    assert value(edge, "requests_total", model="fake-chat", key_name="", reason="client_left") == 1
