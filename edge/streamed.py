"""One streamed call: which replica, until when, and what to do when that replica dies.

Text generation, transcription and speech share it. A call that a dead or full replica drops is repeated on another as
long as nothing of the model's output has been seen; a call whose deadline has passed is not.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, ClassVar, Generic, TypeVar

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import CallOptions, may_be_repeated
from gpt_server.edge.context import Edge
from gpt_server.edge.errors import ApiError, from_rpc, internal_error
from gpt_server.edge.replica import Replica
from gpt_server.edge.routing import Affinity
from gpt_server.edge.telemetry import Exchange

EOF = grpc.aio.EOF  # type: ignore[attr-defined]

Message = TypeVar("Message")
"""What comes: a message with `started`, others, one with `finished`."""


class StreamedCall(ABC, Generic[Message]):
    """One request, on its way to its answer.

    `start`, then `messages`; `close` in any case, which cancels whatever still runs. After `start`, `started` is the
    content of the first message, and `replica` who answers.
    """

    kind: ClassVar["model_pb2.ModelKind.ValueType"]

    def __init__(self, edge: Edge, exchange: Exchange, model: str, options: CallOptions) -> None:
        self._edge = edge
        self._exchange = exchange
        self._model = model
        self._options = options
        self._affinity = Affinity(key=options.affinity_key)
        self._failed: list[Replica] = []
        self._call: Any
        self.replica: Replica | None = None
        self.started: Any = None

    @abstractmethod
    def _dial(self, channel: grpc.aio.Channel, options: CallOptions) -> Any:
        """Begins the call and returns it."""

    async def start(self) -> None:
        """Returns when a replica has accepted the request.

        Raises:
            ApiError: no replica can answer it, or one refuses it.
        """
        with self._edge.telemetry.waiting(self._exchange.model):
            self._open()
            message: Any = await self._next(repeatable=True)
        if not message.HasField("started"):
            raise internal_error()
        self.started = message.started

    async def messages(self) -> AsyncIterator[Message]:
        """Yields what the model says; the last message, and no other, has `finished`.

        Raises:
            ApiError: the call has failed. Nothing follows.
        """
        message: Any = await self._next(repeatable=True)
        while message.HasField("started"):  # once more, by another replica
            message = await self._next(repeatable=True)
        if self._exchange.first_token_at is None:
            self._exchange.first_token_at = time.perf_counter()
        self.succeeded()
        yield message
        while not message.HasField("finished"):
            message = await self._next(repeatable=False)
            yield message
        await self._leave_at_its_end()

    def succeeded(self) -> None:
        """Tells the replica's breaker that it answers."""
        if self.replica is not None:
            self.replica.ended(grpc.StatusCode.OK)

    def close(self) -> None:
        """Ends the call, if it still runs. May be called at any time, more than once."""
        if self.replica is not None:
            self._call.cancel()
            self.replica.release()
            self.replica = None

    async def _leave_at_its_end(self) -> None:
        """Reads the end of a whole answer: a call that is left before it counts as cancelled at the service."""
        with suppress(grpc.aio.AioRpcError):
            await self._call.read()

    def _open(self) -> None:
        self.replica = self._edge.replicas.pick(self._model, self.kind, self._failed, self._affinity)
        self.replica.acquire()
        self._call = self._dial(self.replica.channel, self._options)

    async def _next(self, *, repeatable: bool) -> Message:
        while True:
            try:
                message: Any = await self._call.read()
            except grpc.aio.AioRpcError as error:
                refusal = self._refusal(error, repeatable)
                again = repeatable and may_be_repeated(error, refusal)
                if not (again and self._open_elsewhere(refusal.reason)):
                    raise refusal from error
            else:
                if message is EOF:
                    raise internal_error()  # the stream ended well and without an end
                answer: Message = message
                return answer

    def _refusal(self, error: grpc.aio.AioRpcError, unseen: bool) -> ApiError:
        """Returns what a failed call means. One that has begun to answer ran out of time by its length alone."""
        if self.replica is not None and (unseen or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED):
            self.replica.ended(error.code())
        return from_rpc(error, self._options.to_param)

    def _open_elsewhere(self, reason: str) -> bool:
        """Repeats the call on a replica that has not failed it yet. Returns whether there is one."""
        if (replica := self.replica) is None:
            return False
        self._failed.append(replica)
        if not self._edge.replicas.has_other(self._model, self._failed):
            return False
        self.close()
        self._open()
        self._edge.telemetry.retried(replica.name, reason)
        return True
