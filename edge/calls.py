"""What calls of services are made with: a deadline, the request id, and a way back from their fields to OpenAI's."""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from starlette.requests import Request

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.errors import ApiError, from_rpc
from gpt_server.edge.schemas.base import Body
from gpt_server.edge.translation.generation import to_param
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

if TYPE_CHECKING:
    from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceAsyncStub


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What every call of one HTTP request is made with.

    Attributes:
        deadline: when the caller stops waiting, by `time.monotonic()`.
        metadata: request id and trace context.
        to_param: turns the path of a field of the request message into that of OpenAI's parameter.
    """

    deadline: float
    metadata: tuple[tuple[str, str], ...]
    to_param: Callable[[str], str | None]

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; never below a millisecond, so that gRPC says that it has passed."""
        return max(self.deadline - time.monotonic(), 0.001)


def call_options(request: Request, body: Body) -> CallOptions:
    """Returns the options for calls that answer `request`. Raises `ApiError`: the header x-request-timeout is wrong."""
    return timed_options(request, to_param(body))


def timed_options(request: Request, param_of: Callable[[str], str | None]) -> CallOptions:
    """Returns the options for calls that answer a request without a body. Raises as `call_options`."""
    limit_s = edge_of(request).settings.request_timeout_s
    if (wanted := request.headers.get("x-request-timeout")) is not None:
        limit_s = min(limit_s, _seconds(wanted))
    metadata = [("x-request-id", exchange_of(request.scope).request_id)]
    trace = request.headers.get("traceparent", "")
    if trace.isascii() and trace.isprintable() and trace:
        metadata.append(("traceparent", trace))
    return CallOptions(time.monotonic() + limit_s, tuple(metadata), param_of)


@asynccontextmanager
async def llm_stub(edge: Edge, model: str, options: CallOptions) -> "AsyncIterator[LLMServiceAsyncStub]":
    """Picks who answers a call of one message; what goes wrong with the call becomes an `ApiError`."""
    async with channel_of(edge, model, model_pb2.MODEL_KIND_LLM, options) as channel:
        yield LLMServiceStub(channel)


@asynccontextmanager
async def channel_of(
    edge: Edge, model: str, kind: "model_pb2.ModelKind.ValueType", options: CallOptions
) -> AsyncIterator[grpc.aio.Channel]:
    """Picks who answers a call of one message; what goes wrong with the call becomes an `ApiError`."""
    replica = edge.replicas.pick(model, kind)
    replica.acquire()
    try:
        yield replica.channel
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, options.to_param) from error
    finally:
        replica.release()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ApiError("INVALID_FIELD", "The header x-request-timeout must be a number of seconds above 0.")
    return seconds
