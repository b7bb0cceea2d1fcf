"""HTTP/2 frames (RFC 9113, sections 4 and 6): bytes to frames and back."""

import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME_BYTES = 16_384
"""Largest payload: what everyone must take, and what we take."""

ACK = END_STREAM = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20

_HEAD = struct.Struct(">HBBBI")  # length (24 bits) in two pieces, kind, flags, stream
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")


class Kind(IntEnum):
    """What a frame is."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """What a peer says of itself."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4


class Frame(NamedTuple):
    """A frame. `stream` 0 is the connection itself."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class FrameError(Exception):
    """The peer does not speak HTTP/2 as we understand it."""


class Frames:
    """Cuts what a connection receives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Yields the frames that are whole now. Raises `FrameError`: a frame is larger than we said it may be."""
        piece = self._rest + piece if self._rest else piece
        at, end = 0, len(piece)
        while end - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(piece, at)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {length} bytes")
            begin = at + _HEAD.size
            if begin + length > end:
                break
            at = begin + length
            yield Frame(kind, flags, stream & 0x7FFFFFFF, piece[begin:at])
        self._rest = piece[at:]


def frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame as bytes."""
    return _HEAD.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def header_frames(block: bytes, stream: int) -> bytes:
    """Returns a block of headers as one frame, or as several that follow each other."""
    starts = range(0, len(block), MAX_FRAME_BYTES)
    return b"".join(
        frame(
            Kind.CONTINUATION if at else Kind.HEADERS,
            END_HEADERS if at == starts[-1] else 0,
            stream,
            block[at : at + MAX_FRAME_BYTES],
        )
        for at in starts
    )


def settings(values: Mapping[Setting, int]) -> bytes:
    """Returns a SETTINGS frame."""
    return frame(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def number_frame(kind: Kind, stream: int, number: int) -> bytes:
    """Returns a frame that holds one number: a window's increment, or an error code."""
    return frame(kind, 0, stream, _NUMBER.pack(number))


def settings_of(payload: bytes) -> dict[int, int]:
    """Returns what a SETTINGS frame says."""
    return dict(_SETTING.iter_unpack(payload[: len(payload) // _SETTING.size * _SETTING.size]))


def number_of(payload: bytes) -> int:
    """Returns the number at the head of a payload."""
    if len(payload) < _NUMBER.size:
        raise FrameError("a frame without its number")
    return int(_NUMBER.unpack_from(payload)[0]) & 0x7FFFFFFF


def content_of(received: Frame) -> bytes:
    """Returns the payload of a DATA or HEADERS frame without padding and priority."""
    kind, flags, _, payload = received
    begin, end = 0, len(payload)
    if flags & PADDED:
        begin, end = 1, end - payload[0]
    if kind == Kind.HEADERS and flags & WITH_PRIORITY:
        begin += 5
    if begin > end:
        raise FrameError("more padding than payload")
    return payload[begin:end]
