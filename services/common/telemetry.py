"""Log and metrics of a service process.

Prometheus metrics have the prefix `gpt_server_` and base units; labels are among model, service, engine, replica,
reason and key_name. `TABLE` lists all that were made, for the documentation. No log line has text of a prompt.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, Histogram

from gpt_server.services.common.calls import current_call
from gpt_server.services.common.config import LogSettings

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A line of the documentation's table of metrics."""

    name: str
    kind: str
    labels: Sequence[str]
    meaning: str
    buckets: Sequence[float] = ()


TABLE: list[MetricRow] = []


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """Makes a counter and enters it in the table."""
    TABLE.append(MetricRow(name, "counter", labels, meaning))
    return Counter(name, meaning, labels)


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """Makes a gauge and enters it in the table."""
    TABLE.append(MetricRow(name, "gauge", labels, meaning))
    return Gauge(name, meaning, labels)


def histogram(name: str, meaning: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
    """Makes a histogram and enters it in the table."""
    TABLE.append(MetricRow(name, "histogram", labels, meaning, buckets))
    return Histogram(name, meaning, labels, buckets=buckets)


REQUESTS = counter(
    "gpt_server_requests_total", "Calls that ended; service is the gRPC method.", "service", "model", "key_name"
)
ERRORS = counter(
    "gpt_server_errors_total",
    "Calls that failed; reason is the ErrorReason, or CANCELLED or DEADLINE_EXCEEDED.",
    "service",
    "model",
    "reason",
)
IN_FLIGHT = gauge("gpt_server_in_flight_requests", "Calls that have begun and not ended.", "service")
REQUEST_SECONDS = histogram("gpt_server_request_seconds", "Time from a call's arrival to its end.", "service", "model")
QUEUE_SECONDS = histogram(
    "gpt_server_queue_seconds", "Time from arrival until the engine took a request up.", "model", "engine"
)
RUNNING = gauge("gpt_server_running_requests", "Requests that hold a slot.", "model", "engine")
QUEUED = gauge("gpt_server_queued_requests", "Requests that wait for a slot.", "model", "engine")
MODEL_STATE = gauge("gpt_server_model_state", "1 loading, 2 ready, 3 draining, 4 failed.", "model", "engine", "replica")


def set_up_log(settings: LogSettings) -> None:
    """Sends the log of this process to standard error, each line with the id of the request it belongs to."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(_Format(_json if settings.format == "json" else _text))
    logging.basicConfig(level=settings.level.upper(), handlers=[stream], force=True)


class _Format(logging.Formatter):
    """One record, one line (a traceback follows in text, and stays in the object in JSON)."""

    def __init__(self, line: Callable[[Fields, Fields, str], str]) -> None:
        super().__init__()
        self._line = line

    def format(self, record: logging.LogRecord) -> str:
        call = current_call.get()
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        rest = {"request_id": call.request_id} if call else {}
        if call and call.trace_id:
            rest["trace_id"] = call.trace_id
        rest |= getattr(record, "fields", {})
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return self._line(head, rest, trace)


def _json(head: Fields, rest: Fields, trace: str) -> str:
    return json.dumps({**head, **rest, **({"traceback": trace} if trace else {})}, ensure_ascii=False, default=str)


def _text(head: Fields, rest: Fields, trace: str) -> str:
    line = f"{head['time']} {head['level']:7} {head['message']}"
    return line + "".join(f" {key}={value}" for key, value in rest.items()) + (f"\n{trace}" if trace else "")
