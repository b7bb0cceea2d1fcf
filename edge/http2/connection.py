"""One HTTP/2 connection to a service: streams, windows, pings (RFC 9113, as a client)."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import grpc
from hpack import HPACKError

from gpt_server.edge.http2.call import STREAM_WINDOW_BYTES, Call
from gpt_server.edge.http2.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    MAX_FRAME_BYTES,
    PREFACE,
    Frame,
    FrameError,
    Frames,
    Kind,
    Setting,
    content_of,
    frame,
    header_frames,
    number_frame,
    number_of,
    settings,
    settings_of,
)
from gpt_server.edge.http2.headers import decode

KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 30.0, 10.0
"""A silent peer is found dead within 40 s; services allow a ping every 10 s."""
CONNECTION_WINDOW_BYTES = 1 << 30
"""Streams hold back each for itself; the connection never does."""
DEFAULT_WINDOW_BYTES = 65_535
MAX_HEADER_BYTES = 64 * 1024
LAST_STREAM = 2**31 - 1
CANCEL = 8  # error code

AnyCall = Call[Any]


class Connection(asyncio.Protocol):
    """A connection. It is made for `create_connection`; a channel makes a new one when it is lost."""

    def __init__(self) -> None:
        #: Whether calls may begin on it.
        self.open = True
        self._calls: dict[int, AnyCall] = {}
        self._waiting: deque[AnyCall] = deque()
        self._max_calls = LAST_STREAM
        self._next_stream = 1
        self._frames = Frames()
        self._headers: tuple[int, int, bytes] | None = None
        self._unacknowledged_bytes = 0
        self._send_window = self._stream_window = DEFAULT_WINDOW_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._takers: Mapping[int, Callable[[Frame], None]] = {
            Kind.DATA: self._take_data,
            Kind.HEADERS: self._take_headers,
            Kind.CONTINUATION: self._take_headers,
            Kind.RST_STREAM: self._take_reset,
            Kind.SETTINGS: self._take_settings,
            Kind.PING: self._take_ping,
            Kind.GOAWAY: self._take_goaway,
            Kind.WINDOW_UPDATE: self._take_window,
        }

    def begin(self, call: AnyCall) -> None:
        """Starts a call, or lets it wait while the service takes no more of them."""
        if len(self._calls) >= self._max_calls:
            self._waiting.append(call)
            return
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self.open = self.open and self._next_stream < LAST_STREAM
        self._calls[stream] = call
        call.begin(self, stream, self._stream_window)
        self._write(header_frames(call.headers, stream) + b"".join(self._request_frames(call)))

    def credit(self, call: AnyCall, size: int) -> None:
        """Lets the service send `size` bytes more on a call's stream."""
        self._write(number_frame(Kind.WINDOW_UPDATE, call.stream, size))

    def leave(self, call: AnyCall, *, reset: bool) -> None:
        """Forgets a call that has ended; with `reset` the service is told."""
        if self._calls.pop(call.stream, None) is None:
            return
        if reset or call.unsent:
            self._write(number_frame(Kind.RST_STREAM, call.stream, CANCEL))
        while self._waiting and self.open and len(self._calls) < self._max_calls:
            if not (waiting := self._waiting.popleft()).ended:
                self.begin(waiting)
        if not self.open and not self._calls:
            self._transport.close()

    def close(self) -> None:
        """Closes the connection; calls that run fail."""
        self.open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says hello: no header table, no pushes, and our windows."""
        self._transport = cast("asyncio.Transport", transport)
        ours = {
            Setting.HEADER_TABLE_SIZE: 0,
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
        }
        self._write(PREFACE + settings(ours))
        self._write(number_frame(Kind.WINDOW_UPDATE, 0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES))
        self._after(KEEPALIVE_S, self._ping)

    def data_received(self, data: bytes) -> None:
        """Takes what the service sends."""
        try:
            for received in self._frames.feed(data):
                if (take := self._takers.get(received.kind)) is not None:
                    take(received)
        except (FrameError, HPACKError, IndexError, ValueError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails all calls."""
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        calls = [*self._calls.values(), *self._waiting]
        self._calls.clear()
        self._waiting.clear()
        for call in calls:
            call.fail(grpc.StatusCode.UNAVAILABLE, "the connection was lost")

    def _take_data(self, received: Frame) -> None:
        self._unacknowledged_bytes += len(received.payload)
        if self._unacknowledged_bytes > CONNECTION_WINDOW_BYTES // 2:
            self._write(number_frame(Kind.WINDOW_UPDATE, 0, self._unacknowledged_bytes))
            self._unacknowledged_bytes = 0
        if (call := self._calls.get(received.stream)) is not None:
            call.take_data(content_of(received), last=bool(received.flags & END_STREAM))

    def _take_headers(self, received: Frame) -> None:
        """A block of headers may come in several frames; they follow each other."""
        if received.kind == Kind.HEADERS:
            self._headers = (received.stream, received.flags, content_of(received))
        elif self._headers is not None:
            stream, flags, begin = self._headers
            self._headers = (stream, flags, begin + received.payload)
        if self._headers is None or len(self._headers[2]) > MAX_HEADER_BYTES:
            raise FrameError("headers that are too long, or without a begin")
        if received.flags & END_HEADERS:
            (stream, flags, block), self._headers = self._headers, None
            if (found := self._calls.get(stream)) is not None:
                found.take_headers(decode(block), last=bool(flags & END_STREAM))

    def _take_reset(self, received: Frame) -> None:
        if (call := self._calls.get(received.stream)) is not None:
            call.take_reset(number_of(received.payload))

    def _take_settings(self, received: Frame) -> None:
        if received.flags & ACK:
            return
        found = settings_of(received.payload)
        self._max_calls = found.get(Setting.MAX_CONCURRENT_STREAMS, self._max_calls)
        change = found.get(Setting.INITIAL_WINDOW_SIZE, self._stream_window) - self._stream_window
        self._stream_window += change
        self._write(frame(Kind.SETTINGS, ACK, 0))
        for call in list(self._calls.values()):
            call.send_window += change
            self._send_request(call)

    def _take_ping(self, received: Frame) -> None:
        if received.flags & ACK:
            self._after(KEEPALIVE_S, self._ping)
        else:
            self._write(frame(Kind.PING, ACK, 0, received.payload))

    def _take_goaway(self, received: Frame) -> None:
        """The service takes no more calls; those that it has seen go on."""
        self.open = False
        last = number_of(received.payload)
        unseen = [call for stream, call in self._calls.items() if stream > last]
        for call in [*unseen, *self._waiting]:
            call.fail(grpc.StatusCode.UNAVAILABLE, "the service is going away")
        self._waiting.clear()
        if not self._calls:
            self._transport.close()

    def _take_window(self, received: Frame) -> None:
        increment = number_of(received.payload)
        if received.stream == 0:
            self._send_window += increment
            for call in list(self._calls.values()):
                self._send_request(call)
        elif (found := self._calls.get(received.stream)) is not None:
            found.send_window += increment
            self._send_request(found)

    def _send_request(self, call: AnyCall) -> None:
        if frames := list(self._request_frames(call)):
            self._write(b"".join(frames))

    def _request_frames(self, call: AnyCall) -> Iterator[bytes]:
        """Yields as much of a request as the service takes now."""
        while call.unsent and (size := min(len(call.unsent), call.send_window, self._send_window, MAX_FRAME_BYTES)) > 0:
            piece, call.unsent = call.unsent[:size], call.unsent[size:]
            call.send_window -= size
            self._send_window -= size
            yield frame(Kind.DATA, 0 if call.unsent else END_STREAM, call.stream, bytes(piece))

    def _ping(self) -> None:
        self._write(frame(Kind.PING, 0, 0, b"keepaliv"))
        self._after(KEEPALIVE_TIMEOUT_S, self.close)

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, step)

    def _write(self, piece: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(piece)
