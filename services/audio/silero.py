"""Silero's voice activity model, as its package ships it, without torch: one probability for each 32 ms."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gpt_server.services.audio.engine import Samples

RATE_HZ = 16_000
WINDOW = 512
"""Samples of a window."""
BLOCK = 32
"""Windows that the model sees at a time: always as many, so that no rounding depends on how a sound is cut up."""
CONTEXT = 64
"""Samples of the window before, which the model sees too."""


@cache
def _session() -> Any:
    import onnxruntime

    package = importlib.util.find_spec("silero_vad")
    if package is None or package.origin is None:
        raise ImportError("silero_vad is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of what its own file holds and does not need
    model = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def load() -> None:
    """Loads the model, once for the process. Raises `ImportError`: a package is missing."""
    _session()


class VoiceDetector:
    """Follows one sound of 16 kHz."""

    def __init__(self) -> None:
        self._state = [np.zeros((1, 1, 128), dtype=np.float32)] * 2
        self._context: Samples = np.zeros(CONTEXT, dtype=np.float32)

    def probabilities(self, windows: Samples) -> list[float]:
        """Returns how likely each of the next windows is speech. `windows`: 32 × 512 samples. Blocks for 2 ms."""
        before = np.concatenate([self._context[None], windows[:-1, -CONTEXT:]])
        inputs = {"input": np.hstack([before, windows]), "h": self._state[0], "c": self._state[1]}
        found, *self._state = _session().run(None, inputs)
        self._context = windows[-1, -CONTEXT:].copy()
        return [float(probability) for probability in found]
