"""Utterances: sentences spoken by espeak-ng, with silence around them and noise under them."""

import ctypes
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]
"""Mono, 16 kHz, from -1 to 1."""

SAMPLE_RATE_HZ = 16_000
VOICES: Sequence[str] = (
    "en-us", "en-us+m1", "en-us+m3", "en-us+m7", "en-us+f1", "en-us+f2", "en-us+f3", "en-us+f4", "en-us+f5",
    "en-us+robosoft3", "en-us+robosoft2", "en-us+Andy", "en-us+belinda", "en-us+zac", "en", "en+m3", "en+f3",
)  # fmt: skip
UNHEARD: Sequence[str] = ("en-us+m5", "en-us+linda", "en+f2", "en-us+john")
"""Voices that training never uses."""

_SYNCHRONOUS, _UTF8, _RATE, _PITCH = 2, 1, 1, 3
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The library in this process. It has one state for all: one instance, one thread."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = os.fsencode(espeakng_loader.get_data_path())
        self._rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, 200, folder, 0)
        self._heard: list[bytes] = []
        self._callback = _Callback(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            self._heard.append(ctypes.string_at(samples, count * 2))
        return 0

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> Samples:
        """Returns a text as speech. `pitch`: 0 to 100."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        self._heard.clear()
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, ctypes.c_size_t(len(content)), 0, 1, 0, _UTF8, None, None)
        spoken = np.frombuffer(b"".join(self._heard), np.int16).astype(np.float32) / 32768
        return np.asarray(soxr.resample(spoken, self._rate_hz, SAMPLE_RATE_HZ), np.float32)


def utterance(espeak: Espeak, text: str, source: Random, voices: Sequence[str] = VOICES) -> Samples:
    """Returns a text in a voice, at a pace, a pitch, a loudness and with a noise that `source` draws."""
    spoken = espeak.say(text, source.choice(voices), source.randint(125, 190), source.randint(35, 65))
    samples = np.pad(spoken, (source.randint(500, 6000), source.randint(500, 6000)))
    samples *= source.uniform(0.15, 0.95) / max(1e-4, float(np.abs(samples).max()))
    return (samples + noise(len(samples), source.choice([0, 0.001, 0.004]), source)).astype(np.float32)


def noise(count: int, loudness: float, source: Random) -> Samples:
    """Returns noise alone."""
    generator = np.random.default_rng(source.getrandbits(32))
    return generator.standard_normal(count, np.float32) * np.float32(loudness)
