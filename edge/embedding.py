"""Calls of `EmbedService`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from gpt_server.common.v1 import model_pb2
from gpt_server.edge import calls
from gpt_server.edge.calls import CallOptions
from gpt_server.edge.context import Edge
from gpt_server.edge.errors import ApiError, internal_error
from gpt_server.edge.telemetry import Exchange
from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceStub

if TYPE_CHECKING:
    from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceAsyncStub

T = TypeVar("T")

Call = Callable[["EmbedServiceAsyncStub", CallOptions], Awaitable[T]]


async def ask(edge: Edge, exchange: Exchange, model: str, options: CallOptions, call: Call[T]) -> T:
    """Returns what a replica answers. Raises `ApiError`: no replica can answer, or one refuses."""

    return await calls.ask(
        edge,
        exchange,
        model,
        model_pb2.MODEL_KIND_EMBED,
        options,
        lambda channel: call(EmbedServiceStub(channel), options),
    )


def embed(request: pb.EmbedRequest) -> "Call[tuple[bytes, pb.EmbedFinished]]":
    """Returns the call of `Embed`, which gives the vectors of all parts and the end."""

    async def call(stub: "EmbedServiceAsyncStub", options: CallOptions) -> tuple[bytes, pb.EmbedFinished]:
        parts = bytearray()
        finished: pb.EmbedFinished | None = None
        async for message in stub.Embed(request, timeout=options.left_s, metadata=options.metadata):
            parts += message.vectors
            if message.HasField("finished"):
                finished = message.finished
        if finished is None:
            raise internal_error()  # the stream ended well and without an end
        return bytes(parts), finished

    return call


def only_model(edge: Edge, capability: "model_pb2.Capability.ValueType", what: str) -> str:
    """Returns the model that does something, if a request need not say which.

    Raises:
        ApiError: INVALID_FIELD: none is ready that does, or several are.
    """
    found = {model.name for model in edge.replicas.ready_models().values() if capability in model.capabilities}
    if len(found) == 1:
        return found.pop()
    served = ", ".join(f"`{name}`" for name in sorted(found)) or "none at the moment"
    raise ApiError("INVALID_FIELD", f"Missing required parameter: 'model'. Models for {what}: {served}.", param="model")
