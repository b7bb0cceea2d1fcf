"""One gRPC call: what comes of it, message by message, and how it ends."""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import unquote

import grpc

from gpt_server.edge.http2.headers import Headers

Response = TypeVar("Response")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
STREAM_WINDOW_BYTES = 65_535
"""How much of a stream's messages waits here at most, unread, while the service holds back the rest."""
PREFIX = struct.Struct(">BI")
"""Before each message: whether it is compressed, and its length."""

OF_RESET: Mapping[int, grpc.StatusCode] = {
    7: grpc.StatusCode.UNAVAILABLE,  # refused stream
    8: grpc.StatusCode.CANCELLED,
    11: grpc.StatusCode.RESOURCE_EXHAUSTED,  # enhance your calm
    12: grpc.StatusCode.PERMISSION_DENIED,  # inadequate security
}
OF_HTTP: Mapping[str, grpc.StatusCode] = {
    "401": grpc.StatusCode.UNAUTHENTICATED,
    "403": grpc.StatusCode.PERMISSION_DENIED,
    "404": grpc.StatusCode.UNIMPLEMENTED,
    **dict.fromkeys(("429", "502", "503", "504"), grpc.StatusCode.UNAVAILABLE),
}
"""What it means when no gRPC server, but a proxy answers."""
CODES: Mapping[str, grpc.StatusCode] = {str(code.value[0]): code for code in grpc.StatusCode}


class Stream(Protocol):
    """What a call needs of its connection."""

    def credit(self, call: "Call[Any]", size: int) -> None:
        """Lets the service send `size` bytes more."""

    def leave(self, call: "Call[Any]", *, reset: bool) -> None:
        """Forgets the call; `reset` tells the service that it is over."""


class Call(Generic[Response]):
    """One call. `read` until it returns `None` or raises; `cancel` in any case.

    Attributes:
        headers: the block that it begins with.
        unsent: what is left of the request.
        stream: its number on the connection; 0 before it has one.
        send_window: bytes that the service takes at the moment.
    """

    def __init__(
        self, headers: bytes, request: bytes, deserialize: Callable[[bytes], Response], timeout_s: float | None
    ) -> None:
        self.headers = headers
        self.unsent = memoryview(PREFIX.pack(0, len(request)) + request)
        self.stream = 0
        self.send_window = 0
        self.ended = False
        self._deserialize = deserialize
        self._connection: Stream | None = None
        self._messages: deque[bytes] = deque()
        self._partial = b""
        self._owed_bytes = 0
        self._answered = False
        self._error: grpc.aio.AioRpcError | None = None
        self._news: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(timeout_s, self._expire) if timeout_s is not None else None

    async def read(self) -> Response | None:
        """Returns the next message, or `None` after the last one.

        Raises:
            grpc.aio.AioRpcError: the call has failed; all messages before that have been read.
        """
        await self._until_news()
        return self._taken(self._messages.popleft()) if self._messages else None

    async def read_merged(self) -> Response | None:
        """Returns all messages that are there as one, as protobuf merges them, and else does as `read` does."""
        await self._until_news()
        if not self._messages:
            return None
        message = b"".join(self._messages) if len(self._messages) > 1 else self._messages[0]
        self._messages.clear()
        return self._taken(message)

    def cancel(self) -> None:
        """Ends the call, if it still runs."""
        self.fail(grpc.StatusCode.CANCELLED, "cancelled here", reset=True)

    def begin(self, connection: Stream, stream: int, send_window: int) -> None:
        """Takes its place on a connection."""
        self._connection, self.stream, self.send_window = connection, stream, send_window

    def take_headers(self, headers: Headers, *, last: bool) -> None:
        """Takes the headers at the begin of the answer, or at its end."""
        found = dict(headers)
        if (status := found.get("grpc-status")) is not None and last:
            code = CODES.get(str(status), grpc.StatusCode.UNKNOWN)
            self._finish(_status_error(code, headers) if code != grpc.StatusCode.OK else None)
        elif last or self._answered or found.get(":status") != "200":
            code = OF_HTTP.get(str(found.get(":status")), grpc.StatusCode.UNKNOWN)
            self.fail(code, "answered without a gRPC status", reset=not last)
        self._answered = True

    def take_data(self, piece: bytes, *, last: bool) -> None:
        """Takes a piece of the answer's messages."""
        self._partial = self._partial + piece if self._partial else piece
        self._owed_bytes += len(piece)
        try:
            self._cut_messages()
        except ValueError as error:
            self.fail(grpc.StatusCode.INTERNAL, str(error), reset=True)
        if last:
            self.fail(grpc.StatusCode.INTERNAL, "ended without a gRPC status")
        elif self._messages:
            self._wake()
        else:
            self._credit()  # a message larger than the window

    def take_reset(self, error: int) -> None:
        """Takes the service's word that the call is over, without a status."""
        self.fail(OF_RESET.get(error, grpc.StatusCode.INTERNAL), f"the stream was reset with error {error}")

    def fail(self, code: grpc.StatusCode, details: str, *, reset: bool = False) -> None:
        """Ends the call with an error of our own making. Does nothing if it has ended."""
        if not self.ended:
            self._finish(failure(code, details), reset=reset)

    def _cut_messages(self) -> None:
        partial, at = self._partial, 0
        while len(partial) - at >= PREFIX.size:
            compressed, length = PREFIX.unpack_from(partial, at)
            if compressed or length > MAX_MESSAGE_BYTES:
                raise ValueError(f"a message of {length} bytes, compressed: {bool(compressed)}")
            begin = at + PREFIX.size
            if begin + length > len(partial):
                break
            at = begin + length
            self._messages.append(partial[begin:at])
        self._partial = partial[at:]

    def _taken(self, message: bytes) -> Response:
        if not self._messages:
            self._credit()
        return self._deserialize(message)

    def _credit(self) -> None:
        if self._owed_bytes > STREAM_WINDOW_BYTES // 2 and self._connection and not self.ended:
            self._connection.credit(self, self._owed_bytes)
            self._owed_bytes = 0

    def _finish(self, error: grpc.aio.AioRpcError | None, *, reset: bool = False) -> None:
        self.ended, self._error = True, error
        if self._deadline is not None:
            self._deadline.cancel()
        if self._connection is not None:
            self._connection.leave(self, reset=reset)
        self._wake()

    def _expire(self) -> None:
        self.fail(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline has passed", reset=True)

    async def _until_news(self) -> None:
        """Returns when there is a message, or the end. Raises what the call has failed with, after all messages."""
        while not (self._messages or self.ended):
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if self._error is not None and not self._messages:
            raise self._error

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def failure(code: grpc.StatusCode, details: str, trailing: Headers = ()) -> grpc.aio.AioRpcError:
    """Returns the error of a call."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details, None)


def _status_error(code: grpc.StatusCode, headers: Headers) -> grpc.aio.AioRpcError:
    details = next((str(value) for name, value in headers if name == "grpc-message"), "")
    return failure(code, unquote(details), [field for field in headers if not field[0].startswith(":")])
