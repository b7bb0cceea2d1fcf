"""How services are called: with a deadline and the request id, again where that helps, and what their errors mean."""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from starlette.requests import Request

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.errors import ApiError, from_rpc
from gpt_server.edge.replica import Replica
from gpt_server.edge.schemas.base import Body
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.translation.generation import to_param

T = TypeVar("T")

AFFINITY_KEYS = ("prompt_cache_key", "session_id", "user")
"""Fields of a request that say which ones belong together; the first that is set counts."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What every call of one HTTP request is made with.

    Attributes:
        deadline: when the caller stops waiting, by `time.monotonic()`.
        metadata: request id, trace context and our own token.
        to_param: turns the path of a field of the request message into that of OpenAI's parameter.
        affinity_key: requests with the same one are best answered by the same replica. Empty: none.
    """

    deadline: float
    metadata: tuple[tuple[str, str], ...]
    to_param: Callable[[str], str | None]
    affinity_key: str = ""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; never below a millisecond, so that gRPC says that it has passed."""
        return max(self.deadline - time.monotonic(), 0.001)


def call_options(request: Request, body: Body) -> CallOptions:
    """Returns the options for calls that answer `request`. Raises `ApiError`: the header x-request-timeout is wrong."""
    key = next((value for name in AFFINITY_KEYS if (value := getattr(body, name, None))), "")
    return timed_options(request, to_param(body), key)


def timed_options(request: Request, param_of: Callable[[str], str | None], affinity_key: str = "") -> CallOptions:
    """Returns the options for calls that answer a request, whatever its body is. Raises as `call_options`."""
    edge = edge_of(request)
    limit_s = edge.settings.request_timeout_s
    if (wanted := request.headers.get("x-request-timeout")) is not None:
        limit_s = min(limit_s, _seconds(wanted))
    exchange = exchange_of(request.scope)
    metadata = [("x-request-id", exchange.request_id), *edge.replicas.channels.metadata]
    if exchange.traceparent:
        metadata.append(("traceparent", exchange.traceparent))
    return CallOptions(time.monotonic() + limit_s, tuple(metadata), param_of, affinity_key)


async def ask(
    edge: Edge,
    exchange: Exchange,
    model: str,
    kind: "model_pb2.ModelKind.ValueType",
    options: CallOptions,
    call: Callable[[grpc.aio.Channel], Awaitable[T]],
) -> T:
    """Returns what a replica answers to a call that gives everything at once.

    It is the same whoever computes it, so a call that a replica drops, or has no room for, is repeated on another.

    Raises:
        ApiError: no replica can answer, or one refuses.
    """
    failed: list[Replica] = []
    with edge.telemetry.waiting(exchange.model):
        while True:
            replica = edge.replicas.pick(model, kind, failed)
            replica.acquire()
            try:
                answer = await call(replica.channel)
            except grpc.aio.AioRpcError as error:
                replica.ended(error.code())
                refusal = from_rpc(error, options.to_param)
                failed.append(replica)
                if not (may_be_repeated(error, refusal) and edge.replicas.has_other(model, failed)):
                    raise refusal from error
                edge.telemetry.retried(replica.name, refusal.reason)
            else:
                replica.ended(grpc.StatusCode.OK)
                return answer
            finally:
                replica.release()


def may_be_repeated(error: grpc.aio.AioRpcError, refusal: ApiError) -> bool:
    """Whether another replica may do better: this one is gone, is going, or is full. Never after a deadline."""
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) or refusal.reason == "OVERLOADED"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ApiError("INVALID_FIELD", "The header x-request-timeout must be a number of seconds above 0.")
    return seconds


def only_model(edge: Edge, capability: "model_pb2.Capability.ValueType", what: str, field: str = "model") -> str:
    """Returns the model that does something, if a request need not say which.

    `field`: that it would say it in.

    Raises:
        ApiError: INVALID_FIELD: none is ready that does, or several are.
    """
    found = {model.name for model in edge.replicas.ready_models().values() if capability in model.capabilities}
    if len(found) == 1:
        return found.pop()
    served = ", ".join(f"`{name}`" for name in sorted(found)) or "none at the moment"
    raise ApiError("INVALID_FIELD", f"Missing required parameter: '{field}'. Models for {what}: {served}.", param=field)
