"""What we and our child processes say to each other through pipes: frames of bytes, each after its length.

Children import this and nothing else of ours, so it imports nothing.
"""

import struct
import sys
from collections.abc import Callable, Iterator

HEAD = struct.Struct("<I")


def packed(frame: bytes) -> bytes:
    """Returns a frame with its length before it."""
    return HEAD.pack(len(frame)) + frame


def answer_requests(answers: Callable[[bytes], Iterator[bytes]]) -> None:
    """Runs a child: for each request on standard input, writes its answers, none of them empty, and an empty frame.

    An empty frame at the very beginning says that the child is ready. Returns when the parent is gone.
    """
    write_frame(b"")
    while len(head := sys.stdin.buffer.read(HEAD.size)) == HEAD.size:
        for answer in answers(sys.stdin.buffer.read(HEAD.unpack(head)[0])):
            write_frame(answer)
        write_frame(b"")


def write_frame(frame: bytes) -> None:
    """Writes a frame to standard output; waits while the parent does not read."""
    sys.stdout.buffer.write(packed(frame))
    sys.stdout.buffer.flush()
