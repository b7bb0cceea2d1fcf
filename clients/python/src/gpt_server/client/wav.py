"""The header of a WAV file: a service sends it before it knows how long the sound will be."""

import struct
from typing import BinaryIO

HEADER_BYTES = 44


def with_lengths(sound: BinaryIO) -> None:
    """Writes the true lengths into the header of a WAV file; leaves all else, and what cannot seek, as it is."""
    if not sound.seekable() or not sound.readable():
        return
    end = sound.tell()
    sound.seek(0)
    header = sound.read(HEADER_BYTES)
    if header[:4] == b"RIFF" and header[36:40] == b"data":
        for place, length in ((4, end - 8), (40, end - HEADER_BYTES)):
            sound.seek(place)
            sound.write(struct.pack("<I", length))
    sound.seek(end)
