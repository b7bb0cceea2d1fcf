"""One call of `ImageService.Generate` or `Edit`: which replica, and what to do when that one dies.

A call that a dead replica drops is repeated on another as long as no image has come; a call whose deadline has passed
is not.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import CallOptions
from gpt_server.edge.context import Edge
from gpt_server.edge.errors import ApiError, from_rpc, internal_error
from gpt_server.edge.generation import REPEATABLE
from gpt_server.edge.replicas import Replica
from gpt_server.edge.telemetry import Exchange
from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.image.v1.image_service_pb2_grpc import ImageServiceStub

if TYPE_CHECKING:
    from gpt_server.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub

Open = Callable[["ImageServiceAsyncStub", CallOptions], Any]
Response = pb.GenerateResponse | pb.EditResponse


@dataclass(frozen=True, slots=True)
class Image:
    """An image file, or a preview."""

    header: pb.ImageHeader
    number: int
    content: bytes

    @property
    def is_preview(self) -> bool:
        """Whether it is not finished."""
        return self.header.HasField("preview")


@dataclass(slots=True)
class Images:
    """All that came of a call."""

    images: list[Image] = field(default_factory=list)
    finished: pb.Finished = field(default_factory=pb.Finished)


class Imaging:
    """A request on its way to its images: `start`, then `events`; `close` in any case, which ends what still runs."""

    def __init__(self, edge: Edge, exchange: Exchange, model: str, options: CallOptions, open_call: Open) -> None:
        self._edge, self._exchange = edge, exchange
        self._model, self._options, self._open_call = model, options, open_call
        self._failed: list[Replica] = []
        self._replica: Replica | None = None
        self._call: Any = None

    async def start(self) -> pb.Started:
        """Returns when a replica has accepted the request. Raises `ApiError`: none can answer, or one refuses."""
        with self._edge.telemetry.waiting(self._exchange.model):
            self._open()
            message = await self._next(repeatable=True)
        if not message.HasField("started"):
            raise internal_error()
        return message.started

    async def events(self) -> AsyncIterator[pb.Queued | pb.Progress | Image | pb.Finished]:
        """Yields what happens; the last is `Finished`, and no other is. Raises `ApiError`: the call has failed."""
        header, parts, seen = pb.ImageHeader(), bytearray(), False
        while True:
            message = await self._next(repeatable=not seen)
            kind = message.WhichOneof("event")
            if kind == "image_part":
                part, seen = message.image_part, True
                if part.HasField("header"):
                    header, parts = part.header, bytearray()
                    self._exchange.first_token_at = self._exchange.first_token_at or time.perf_counter()
                parts += part.content
                if part.last:
                    yield Image(header, part.image, bytes(parts))
            elif kind in ("queued", "progress"):
                yield getattr(message, kind)
            elif kind == "finished":
                self._exchange.use([message.finished.usage])
                yield message.finished
                return

    def close(self) -> None:
        """Ends the call, if it still runs. May be called at any time, more than once."""
        if self._replica is not None:
            self._call.cancel()
            self._replica.release()
            self._replica = None

    def _open(self) -> None:
        self._replica = self._edge.replicas.pick(self._model, model_pb2.MODEL_KIND_IMAGE, self._failed)
        self._replica.acquire()
        self._call = self._open_call(ImageServiceStub(self._replica.channel), self._options)

    async def _next(self, *, repeatable: bool) -> Response:
        while True:
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError as error:
                if not (repeatable and error.code() in REPEATABLE and self._open_elsewhere()):
                    raise from_rpc(error, self._options.to_param) from error
            else:
                if isinstance(message, Response):
                    return message
                raise internal_error()  # the stream ended well and without an end

    def _open_elsewhere(self) -> bool:
        """Repeats the call on a replica that has not failed it yet. Returns whether there is one."""
        if (replica := self._replica) is None:
            return False
        self._failed.append(replica)
        self.close()
        try:
            self._open()
        except ApiError:
            return False
        self._edge.telemetry.retried(replica.name)
        return True


def generating(request: pb.GenerateRequest) -> Open:
    """Returns what opens a call of `Generate`."""
    return lambda stub, options: stub.Generate(request, timeout=options.left_s, metadata=options.metadata)


def editing(request: pb.EditRequest) -> Open:
    """Returns what opens a call of `Edit`."""
    return lambda stub, options: stub.Edit(request, timeout=options.left_s, metadata=options.metadata)


async def collect(imaging: Imaging) -> Images:
    """Returns all finished images of a call that has started, in order."""
    found = Images()
    async for event in imaging.events():
        if isinstance(event, Image):
            found.images.append(event)
        elif isinstance(event, pb.Finished):
            found.finished = event
    found.images.sort(key=lambda image: image.number)
    return found
