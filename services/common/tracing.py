"""OpenTelemetry traces: a span for each call, sent to a collector by OTLP over gRPC, where one is configured.

A caller's `traceparent` (W3C) in the metadata makes its span the parent of ours. Health checks, reflection and `Watch`
have none. Attributes follow OpenTelemetry's conventions for RPC and generative AI where they have a name.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gpt_server.services.common.calls import Call
from gpt_server.services.common.config import TracingSettings
from gpt_server.services.common.settings import BadSettings, Problem

TRACEPARENT = "traceparent"
EXPORT_S = 3.0
"""How long a collector that does not answer is waited for, at the end of the process too."""

_provider: Any = None


def set_up(settings: TracingSettings, replica: str) -> None:
    """Sends the spans of this process to the endpoint, if there is one. Raises `BadSettings`: no library for it."""
    global _provider
    if settings.endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        why = f"needs the extra gpt-server[tracing] in this environment ({error})"
        raise BadSettings([Problem("tracing.endpoint", why)]) from None
    resource = Resource.create({"service.name": "gpt-server-service", "service.instance.id": replica})
    _provider = TracerProvider(ParentBasedTraceIdRatio(settings.sample_ratio), resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.endpoint, timeout=EXPORT_S)))


def close() -> None:
    """Sends what has not been sent, and sends no more."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def trace_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Returns the trace that a call belongs to; empty if it says none."""
    parts = _traceparent(metadata).split("-")
    return parts[1] if len(parts) == 4 else ""


@contextmanager
def span_of(call: Call, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[list[str]]:
    """Traces a call while the context is open; how it ended, if not well, is put into the list."""
    outcome: list[str] = []
    if _provider is None:
        yield outcome
        return
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator as W3c

    service, _, method = call.method.partition("/")
    span = _provider.get_tracer("gpt_server.services").start_span(
        call.method, W3c().extract({TRACEPARENT: _traceparent(metadata)}), SpanKind.SERVER
    )
    call.trace_id = f"{span.get_span_context().trace_id:032x}"
    try:
        yield outcome
    finally:
        known = {"rpc.system.name": "grpc", "rpc.service": service, "rpc.method": method}
        known |= {"gen_ai.request.model": call.model, "gpt_server.request_id": call.request_id}
        span.set_attributes({name: value for name, value in known.items() if value})
        if outcome:
            span.set_attribute("error.type", outcome[0])
            span.set_status(StatusCode.ERROR, outcome[0])
        span.end()


def _traceparent(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    found = next((value for key, value in metadata if key == TRACEPARENT), "")
    return found if isinstance(found, str) else ""
