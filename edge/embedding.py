"""Calls of `EmbedService`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from fastapi import Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.edge import calls
from gpt_server.edge.calls import CallOptions, call_options
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.errors import internal_error
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.base import Body
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.telemetry import Exchange
from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceStub

if TYPE_CHECKING:
    from gpt_server.embed.v1.embed_service_pb2_grpc import EmbedServiceAsyncStub

T = TypeVar("T")
M = TypeVar("M")


class Answer(Protocol):
    """What answers of `EmbedService` have in common."""

    @property
    def usage(self) -> usage_pb2.Usage:
        """Tokens that were computed."""


AnswerT = TypeVar("AnswerT", bound=Answer)

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


async def respond(
    request: Request,
    body: Body,
    model: str,
    message: Callable[[MediaLoader], Awaitable[M]],
    rpc: Callable[["EmbedServiceAsyncStub"], Callable[..., Awaitable[AnswerT]]],
    write: Callable[[AnswerT], bytes],
) -> Response:
    """Answers a request with one call that has one answer.

    Args:
        request: the HTTP request; the call ends with its connection.
        body: its body.
        model: which model is to answer.
        message: makes the call's message; pictures are loaded then.
        rpc: which call it is.
        write: makes the body of the answer.
    """

    async def answered() -> Response:
        edge, exchange = edge_of(request), exchange_of(request.scope)
        edge.began(exchange, model)
        wanted = await message(edge.media)

        def call(stub: "EmbedServiceAsyncStub", options: CallOptions) -> Awaitable[AnswerT]:
            return rpc(stub)(wanted, timeout=options.left_s, metadata=options.metadata)

        answer = await ask(edge, exchange, model, call_options(request, body), call)
        exchange.use([answer.usage])
        return Response(write(answer), media_type="application/json")

    return await while_connected(request.receive, answered())


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
