"""The process that eSpeak NG runs in. A request is JSON: text, voice, rate_wpm, pitch; an answer is raw samples."""

import ctypes
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from gpt_server.services.audio.frames import answer_requests, write_frame

SYNCHRONOUS = 2
EXIT_NEVER = 0x8000
BUFFER_MS = 60
POSITION_CHARACTER, UTF8 = 1, 1
RATE, PITCH = 1, 3
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> None:
    """Answers requests until the parent is gone. Arguments: the library, and the folder of its data."""
    library, folder = sys.argv[1:]
    espeak = ctypes.CDLL(library)
    espeak.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    if espeak.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, os.fsencode(folder), EXIT_NEVER) <= 0:
        sys.exit("eSpeak NG cannot read its data")
    callback = CALLBACK(_heard)
    espeak.espeak_SetSynthCallback(callback)
    answer_requests(lambda request: _spoken(espeak, json.loads(request)))


def _spoken(espeak: Any, request: dict[str, Any]) -> Iterator[bytes]:
    """Speaks; all that there is to answer goes out by the callback, while it does."""
    if espeak.espeak_SetVoiceByName(request["voice"].encode()):
        sys.exit(f"eSpeak NG has no voice {request['voice']}")
    espeak.espeak_SetParameter(RATE, request["rate_wpm"], 0)
    espeak.espeak_SetParameter(PITCH, request["pitch"], 0)
    text = request["text"].encode()
    espeak.espeak_Synth(text, len(text) + 1, 0, POSITION_CHARACTER, 0, UTF8, None, None)
    espeak.espeak_Synchronize()
    yield from ()


def _heard(samples: Any, count: int, _events: Any) -> int:
    if samples and count:
        write_frame(ctypes.string_at(samples, count * 2))
    return 0


if __name__ == "__main__":
    main()
