"""OpenTelemetry traces: one span for each request, sent to a collector by OTLP over gRPC, where one is configured.

W3C's `traceparent` of the caller is honoured and, with the id of our own span, passed on to services: theirs belong
to it. Attributes follow OpenTelemetry's conventions for HTTP and generative AI where they have a name.
"""

import re
from typing import TYPE_CHECKING, Any

from gpt_server.edge.config import TracingSettings
from gpt_server.edge.telemetry import PROBES, Exchange

if TYPE_CHECKING:
    from opentelemetry.trace import Span

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
EXPORT_S = 3.0
"""How long a collector that does not answer is waited for, at the end of the process too."""


def valid_traceparent(text: str) -> str:
    """Returns a caller's `traceparent` if it is one, else nothing."""
    return text if TRACEPARENT.fullmatch(text) else ""


class Tracing:
    """The spans of one process. Without an endpoint it does nothing. `instance`: tells it from its like.

    Raises:
        ValueError: the libraries are not installed.
    """

    def __init__(self, settings: TracingSettings, instance: str) -> None:
        self._provider: Any = None
        if settings.endpoint is not None:
            self._provider = _provider(settings.endpoint, settings.sample_ratio, instance)
            self._tracer = self._provider.get_tracer("gpt_server.edge")

    def begin(self, exchange: Exchange) -> "Span | None":
        """Opens the span of a request, and puts what services need of it into the exchange; none for probes."""
        if self._provider is None or exchange.path in PROBES:
            return None
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator as W3c

        parent = W3c().extract({"traceparent": exchange.traceparent})
        span: Span = self._tracer.start_span(exchange.method, parent, SpanKind.SERVER)
        context = span.get_span_context()
        exchange.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        return span

    def end(self, span: "Span", exchange: Exchange) -> None:
        """Closes the span of a request."""
        from opentelemetry.trace import StatusCode

        if exchange.status not in (404, 405):  # else the path is whatever the caller has made up
            span.update_name(f"{exchange.method} {exchange.path}")
        for name, value in _attributes(exchange).items():
            if value:
                span.set_attribute(name, value)
        if exchange.status >= 500 or (exchange.status == 200 and exchange.reason not in ("ok", "client_left")):
            span.set_status(StatusCode.ERROR, exchange.reason)
        span.end()

    def close(self) -> None:
        """Sends what has not been sent."""
        if self._provider is not None:
            self._provider.shutdown()


def _attributes(exchange: Exchange) -> dict[str, str | int | float]:
    first_s = exchange.first_token_at - exchange.started_at if exchange.first_token_at else 0.0
    return {
        "http.request.method": exchange.method,
        "url.path": exchange.path,
        "http.response.status_code": exchange.status,
        "error.type": "" if exchange.reason == "ok" else exchange.reason,
        "gen_ai.request.model": exchange.model,
        "gen_ai.usage.input_tokens": exchange.prompt_tokens,
        "gen_ai.usage.output_tokens": exchange.completion_tokens,
        "gen_ai.server.time_to_first_token": first_s,
        "gpt_server.request_id": exchange.request_id,
        "gpt_server.key_name": exchange.key_name,
    }


def _provider(endpoint: str, sample_ratio: float, instance: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        raise ValueError(f"tracing.endpoint: needs the extra gpt-server[tracing] ({error})") from None
    resource = Resource.create({"service.name": "gpt-server-edge", "service.instance.id": instance})
    provider = TracerProvider(ParentBasedTraceIdRatio(sample_ratio), resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_S)))
    return provider
