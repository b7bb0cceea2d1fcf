"""Traces across the gRPC hop, as a real collector gets them over OTLP."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from gpt_server.edge.app import create_app
from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.telemetry import LogFormat
from gpt_server.services.common import tracing
from gpt_server.services.common.config import TracingSettings
from tests.edge.asking import chat
from tests.support.edge import edge_server
from tests.support.service import llm_service

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector(otlp_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []

    async def Export(self, request: Any, context: Any) -> otlp.ExportTraceServiceResponse:  # noqa: N802 (OTLP's name)
        """Takes spans."""
        for resource in request.resource_spans:
            who = {each.key: each.value.string_value for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
                self.spans.append({"who": who["service.name"], "span": span, "attributes": attributes})
        return otlp.ExportTraceServiceResponse()


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    """A collector and its endpoint."""
    servicer = Collector()
    server = grpc.aio.server()
    otlp_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield servicer, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def traced(endpoint: str, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an edge and a service that send their spans there, all of them by the end of the context."""
    tracing.set_up(TracingSettings(endpoint=endpoint), "test-0")
    try:
        async with (
            llm_service() as service,
            edge_server([service.address], tracing={"endpoint": endpoint, **settings}) as edge,
            httpx2.AsyncClient(base_url=edge.url) as client,
        ):
            yield client
    finally:
        await asyncio.to_thread(tracing.close)


async def test_a_request_is_one_trace_from_the_caller_to_the_engine() -> None:
    async with collector() as (found, endpoint):
        async with traced(endpoint) as client:
            await client.get("/health")
            await client.post("/v1/chat/completions", json=chat("a b c"), headers={"traceparent": CALLER})
        by_who = {each["who"]: each for each in found.spans}
        assert len(found.spans) == 2, "neither probes, nor health checks, nor Watch"
        edge, service = by_who["gpt-server-edge"], by_who["gpt-server-service"]
        assert edge["span"].trace_id == service["span"].trace_id == bytes.fromhex(TRACE)
        assert edge["span"].parent_span_id == bytes.fromhex("b7ad6b7169203331")
        assert service["span"].parent_span_id == edge["span"].span_id
        assert (edge["span"].name, service["span"].name) == ("POST /v1/chat/completions", "LLMService/Generate")
        assert (
            edge["attributes"]["gen_ai.request.model"] == service["attributes"]["gen_ai.request.model"] == "fake-chat"
        )
        assert edge["attributes"]["gen_ai.usage.input_tokens"] == 3
        assert edge["attributes"]["http.response.status_code"] == 200
        assert edge["attributes"]["gpt_server.request_id"] == service["attributes"]["gpt_server.request_id"]


async def test_failures_are_marked() -> None:
    async with collector() as (found, endpoint):
        async with traced(endpoint) as client:
            await client.post("/v1/chat/completions", json=chat(fake={"crash_after": 0}))
            await client.post("/v1/chat/completions", json=chat(temperature=9))
            await client.get("/made/up/by/the/caller")
        edge = {each["attributes"]["http.response.status_code"]: each for each in found.spans if "edge" in each["who"]}
        service = [each for each in found.spans if "service" in each["who"]]
        assert edge[500]["span"].status.code == Status.STATUS_CODE_ERROR
        assert edge[400]["span"].status.code == Status.STATUS_CODE_UNSET
        assert edge[400]["attributes"]["error.type"] == "invalid_field"
        assert edge[404]["span"].name == "GET"
        assert {each["attributes"]["error.type"] for each in service} == {"INTERNAL", "INVALID_FIELD"}


async def test_few_are_kept_but_those_that_the_caller_keeps() -> None:
    async with collector() as (found, endpoint):
        async with traced(endpoint, sample_ratio=0.0) as client:
            await client.post("/v1/chat/completions", json=chat())
            await client.post("/v1/chat/completions", json=chat(), headers={"traceparent": CALLER})
        assert len(found.spans) == 2
        assert {each["span"].trace_id.hex() for each in found.spans} == {TRACE}


@pytest.mark.parametrize("given", [CALLER, "rubbish", f"00-{'0' * 32}-b7ad6b7169203331-01"])
async def test_logs_of_both_sides_name_the_trace(given: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also without a collector, as far as the caller says one."""
    caplog.set_level(logging.INFO)
    async with (
        llm_service() as service,
        edge_server([service.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        await client.post("/v1/chat/completions", json=chat(), headers={"traceparent": given})
    written = [record for record in caplog.records if record.name == "gpt_server.edge.access"]
    (line,) = [json.loads(LogFormat(as_json=True).format(record)) for record in written]
    assert line.get("trace_id") == (TRACE if given == CALLER else None)


def test_without_the_libraries_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ValueError, match=r"tracing\.endpoint: needs the extra gpt-server\[tracing\]"):
        create_app(EdgeSettings.model_validate({"tracing": {"endpoint": "http://127.0.0.1:1"}}))
