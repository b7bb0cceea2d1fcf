"""What the edge counts, and what it writes to its log: nothing of what callers say to models.

Labels are `model` (known names only), `key_name`, `replica` and `reason`, which is `ok` or the error's reason.
"""

import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.config import LogSettings
from gpt_server.edge.replica import Replica

DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_TOKEN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PER_TOKEN_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

PROBES = frozenset({"/health", "/readyz"})
"""Paths that are asked for every few seconds; their lines are for debugging only."""

access_log = logging.getLogger("gpt_server.edge.access")


@dataclass(slots=True)
class Exchange:
    """One HTTP request and its answer, as the log and the metrics see it.

    Attributes:
        request_id: the caller's `x-request-id`, or ours.
        key_name: name of the API key; empty without one.
        model: served name; empty until it is found to be one.
        reason: how it ended: `ok`, or the error's reason in lower case.
        status: of the HTTP answer; 0 if there was none.
        traceparent: of the trace that it belongs to (W3C), with the span that calls belong to; empty if there is none.
        prompt_tokens: of all calls it took; likewise `cached_tokens`, those of them, and `completion_tokens`.
    """

    request_id: str
    method: str
    path: str
    key_name: str = ""
    model: str = ""
    reason: str = "ok"
    status: int = 0
    traceparent: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    started_at: float = field(default_factory=time.perf_counter)
    first_token_at: float | None = None

    def use(self, usages: Collection[usage_pb2.Usage]) -> None:
        """Notes the tokens that it took."""
        self.prompt_tokens = sum(usage.prompt_tokens for usage in usages)
        self.cached_tokens = sum(usage.cached_tokens for usage in usages)
        self.completion_tokens = sum(usage.completion_tokens for usage in usages)


class Telemetry:
    """The metrics of one edge."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        name = "gpt_server_edge_"
        self._requests = Counter(
            name + "requests", "Requests that ended.", ["model", "key_name", "reason"], registry=registry
        )
        self._in_flight = Gauge(name + "requests_in_flight", "Requests being answered.", ["model"], registry=registry)
        self._waiting = Gauge(
            name + "requests_waiting", "Requests that no replica has taken yet.", ["model"], registry=registry
        )
        self._wanted = Gauge(
            name + "model_wanted_timestamp_seconds",
            "When a request last found no replica that is ready, in Unix time: a model scaled to zero is woken by it.",
            ["model"],
            registry=registry,
        )
        self._duration = Histogram(
            name + "request_duration_seconds",
            "From the request to the end of its answer.",
            ["model"],
            registry=registry,
            buckets=DURATION_BUCKETS_S,
        )
        self._first_token = Histogram(
            name + "time_to_first_token_seconds",
            "From the request to the first output of the model.",
            ["model"],
            registry=registry,
            buckets=FIRST_TOKEN_BUCKETS_S,
        )
        self._per_token = Histogram(
            name + "time_per_output_token_seconds",
            "From the first output to the end, by each further token (TPOT).",
            ["model"],
            registry=registry,
            buckets=PER_TOKEN_BUCKETS_S,
        )
        labels = ["model", "key_name"]
        self._prompt_tokens = Counter(name + "prompt_tokens", "Tokens of prompts.", labels, registry=registry)
        self._cached_tokens = Counter(
            name + "cached_tokens", "Tokens of prompts that were in a cache.", labels, registry=registry
        )
        self._completion_tokens = Counter(name + "completion_tokens", "Tokens of answers.", labels, registry=registry)
        self._choices = Counter(
            name + "choices",
            "Choices of a replica, by what decided: load, prefix (seen before), key (the request's own).",
            ["replica", "reason"],
            registry=registry,
        )
        self._retries = Counter(
            name + "retries",
            "Calls moved off a replica that was gone or full.",
            ["replica", "reason"],
            registry=registry,
        )
        self._replica_state = Gauge(
            name + "replica_state",
            "0 lost, 1 loading, 2 ready, 3 draining, 4 failed, as this edge sees it.",
            ["replica", "model"],
            registry=registry,
        )
        self._replica_in_flight = Gauge(
            name + "replica_in_flight", "Calls of this edge at a replica.", ["replica"], registry=registry
        )
        self._breaker_open = Gauge(
            name + "replica_breaker_open", "1 while a replica's last calls have failed.", ["replica"], registry=registry
        )

    def show(self, replicas: Iterable[Replica]) -> None:
        """Brings what is said of replicas up to date; those that are gone are no longer shown."""
        for gauge in (self._replica_state, self._replica_in_flight, self._breaker_open):
            gauge.clear()
        for replica in replicas:
            self._replica_in_flight.labels(replica.name).set(replica.in_flight)
            self._breaker_open.labels(replica.name).set(replica.breaker.is_open)
            for status in replica.models.values():
                state = status.state if replica.watched else 0
                self._replica_state.labels(replica.name, status.model.name).set(state)

    @contextmanager
    def waiting(self, model: str) -> Iterator[None]:
        """Counts a request of `model` as waiting while the context is open."""
        with self._waiting.labels(model).track_inprogress():
            yield

    def began(self, exchange: Exchange, model: str) -> None:
        """Counts a request as being answered, until it has `ended`. Names are labels: `model` must be a known one."""
        exchange.model = model
        self._in_flight.labels(model).inc()

    def chosen(self, replica: str, reason: str) -> None:
        """Counts a choice of `replica`. `reason`: of `routing.Choice`."""
        self._choices.labels(replica, reason).inc()

    def retried(self, replica: str, reason: str) -> None:
        """Counts a call that was moved off `replica`. `reason`: of the error."""
        self._retries.labels(replica, reason.lower()).inc()

    def ended(self, exchange: Exchange) -> None:
        """Counts a request that ended, and writes its line to the access log."""
        now = time.perf_counter()
        duration_s = now - exchange.started_at
        model, key_name = exchange.model, exchange.key_name
        self._requests.labels(model, key_name, exchange.reason).inc()
        first_token_s = None
        if model:
            if exchange.reason == "model_loading":
                self._wanted.labels(
                    model
                ).set_to_current_time()  # a request that is refused at once waits for no scrape
            self._in_flight.labels(model).dec()
            self._duration.labels(model).observe(duration_s)
            self._prompt_tokens.labels(model, key_name).inc(exchange.prompt_tokens)
            self._cached_tokens.labels(model, key_name).inc(exchange.cached_tokens)
            self._completion_tokens.labels(model, key_name).inc(exchange.completion_tokens)
        if exchange.first_token_at is not None:
            first_token_s = exchange.first_token_at - exchange.started_at
            self._first_token.labels(model).observe(first_token_s)
            if exchange.completion_tokens > 1:
                per_token_s = (now - exchange.first_token_at) / (exchange.completion_tokens - 1)
                self._per_token.labels(model).observe(per_token_s)
        level = logging.DEBUG if exchange.path in PROBES else logging.INFO
        if access_log.isEnabledFor(level):
            fields = _fields(exchange, duration_s, first_token_s)
            access_log.log(level, "%s %s", exchange.method, fields.pop("path"), extra={"fields": fields})


def _fields(exchange: Exchange, duration_s: float, first_token_s: float | None) -> dict[str, object]:
    """Returns what the log says of a request. The path is the caller's text: quoted, it forges nothing."""
    fields = {
        "path": quote(exchange.path),
        "request_id": exchange.request_id,
        "trace_id": exchange.traceparent[3:35],
        "status": exchange.status,
        "reason": exchange.reason,
        "key": exchange.key_name,
        "model": exchange.model,
        "duration_s": round(duration_s, 4),
        "first_token_s": "" if first_token_s is None else round(first_token_s, 4),
        "prompt_tokens": exchange.prompt_tokens or "",
        "completion_tokens": exchange.completion_tokens or "",
    }
    return {name: value for name, value in fields.items() if value != ""}


class LogFormat(logging.Formatter):
    """One record, one line, in the shape of the services' logs: for people, or one JSON object."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        time_ = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level, message = record.levelname.lower(), record.getMessage()
        fields: dict[str, object] = getattr(record, "fields", {})
        traceback = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        if self._as_json:
            head = {"time": time_, "level": level, "logger": record.name, "message": message}
            return json.dumps(head | fields | traceback, ensure_ascii=False)
        pairs = "".join(f" {name}={value}" for name, value in fields.items())
        return "\n".join([f"{time_} {level:7} {message}{pairs}", *traceback.values()])


def configure_logging(settings: LogSettings) -> None:
    """Sends the log of this process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormat(settings.format == "json"))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
