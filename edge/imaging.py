"""One call of `ImageService.Generate` or `Edit`: which replica, and what to do when that one dies.

It is repeated on another as long as no image has come.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import CallOptions
from gpt_server.edge.context import Edge
from gpt_server.edge.streamed import StreamedCall
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


class Imaging(StreamedCall[Response]):
    """A request on its way to its images: `start`, then `events`; `close` in any case, which ends what still runs."""

    kind = model_pb2.MODEL_KIND_IMAGE

    def __init__(self, edge: Edge, exchange: Exchange, model: str, options: CallOptions, open_call: Open) -> None:
        super().__init__(edge, exchange, model, options)
        self._open_call = open_call

    def _dial(self, channel: grpc.aio.Channel, options: CallOptions) -> Any:
        return self._open_call(ImageServiceStub(channel), options)

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
                self.succeeded()
                yield message.finished
                await self._leave_at_its_end()
                return


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
