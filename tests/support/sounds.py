"""Sounds for tests, and what is in those that come back."""

import io

import numpy as np

from gpt_server.services.audio.codec import FORMS, Decoder, Encoder
from gpt_server.services.audio.engine import AudioFormat, PcmFormat, Samples

RATE_HZ = 16_000


def tone(height_hz: float = 440, duration_s: float = 2.0) -> Samples:
    """A tone at 16 kHz."""
    return np.asarray(0.5 * np.sin(2 * np.pi * height_hz * np.arange(round(RATE_HZ * duration_s)) / RATE_HZ), "f4")


def silence(duration_s: float) -> Samples:
    """Nothing, at 16 kHz."""
    return np.zeros(round(RATE_HZ * duration_s), dtype=np.float32)


def file_of(samples: Samples, form: AudioFormat = "wav", rate_hz: int = RATE_HZ) -> bytes:
    """A sound as a file."""
    encoder = Encoder(FORMS[form], rate_hz, rate_hz)
    return encoder.add(samples) + encoder.end()


def samples_of(content: bytes, pcm_rate_hz: int = 0) -> Samples:
    """A file as a sound of 16 kHz; raw samples of a rate, if there is one."""
    decoder = Decoder(io.BytesIO(content), RATE_HZ, "file", PcmFormat(pcm_rate_hz) if pcm_rate_hz else None)
    decoder.open()
    return np.concatenate(list(decoder.samples()))
