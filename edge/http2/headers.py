"""Headers of gRPC calls, in HPACK (RFC 7541).

We tell the peer to keep no table of ours, and we use none of the peer's: a block of headers then means the same
wherever it stands. So what a call always sends is encoded once, and what services often send is decoded once.
"""

import base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

from hpack import Decoder

Headers = Sequence[tuple[str, str | bytes]]

_POST, _HTTP, _HTTPS = b"\x83", b"\x86", b"\x87"  # entries of the static table


def encode_fixed(path: str, authority: str, *, secure: bool) -> bytes:
    """Returns the headers that all calls of a method begin with."""
    fields = [
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "gpt-server-edge"),
    ]
    return _POST + (_HTTPS if secure else _HTTP) + encode(fields)


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Returns headers of ASCII text, each as a literal that is not to be indexed."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


@lru_cache(maxsize=256)
def decode(block: bytes) -> Headers:
    """Returns the headers of a block; names that end in `-bin` with the bytes that they stand for.

    Raises:
        HPACKError: the block is none.
    """
    decoder = Decoder()
    decoder.max_allowed_table_size = decoder.header_table_size = 0
    fields = cast("Iterable[tuple[str, str]]", decoder.decode(block))
    return [(name, _bytes(value) if name.endswith("-bin") else value) for name, value in fields]


def _text(text: str) -> bytes:
    content = text.encode("ascii")
    return _length(len(content)) + content


def _length(number: int) -> bytes:
    """A number with a prefix of seven bits."""
    if number < 0x7F:
        return bytes((number,))
    number, digits = number - 0x7F, bytearray(b"\x7f")
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*digits, number))


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
