"""Sound while tokens still come: stretches of tokens are decoded by themselves, and fade into each other."""

from collections.abc import Callable, Sequence

import numpy as np

from gpt_server.services.audio.engine import Samples

TOKENS_PER_S = 50
OVERLAP = 5
"""Tokens that two neighbours share: a tenth of a second, in which one fades into the other."""
LONGEST_S = 8.0


class SoundStream:
    """Collects the semantic tokens of one sentence."""

    def __init__(self, decode: Callable[[Sequence[int]], Samples], first_s: float) -> None:
        self._decode = decode
        self._waits_for = round(first_s * TOKENS_PER_S)
        self._tokens: list[int] = []
        self._tail: Samples | None = None

    def add(self, tokens: Sequence[int]) -> None:
        """Takes tokens. Where the sound is cut does not depend on how many come at a time."""
        self._tokens += tokens

    @property
    def ready(self) -> bool:
        """Whether there are enough for `sound`."""
        return len(self._tokens) >= self._waits_for

    def sound(self) -> Samples:
        """Returns the next samples; those that may still fade into what comes are kept."""
        stretch, later = self._tokens[: self._waits_for], self._tokens[self._waits_for :]
        samples = self._faded(stretch)
        size = OVERLAP * len(samples) // len(stretch)
        self._tokens = stretch[-OVERLAP:] + later
        self._tail = samples[-size:]
        self._waits_for = min(2 * self._waits_for, round(LONGEST_S * TOKENS_PER_S))
        return samples[:-size]

    def rest(self) -> Samples:
        """Returns what is left when no more tokens come."""
        if self._tail is not None and len(self._tokens) <= OVERLAP:
            return self._tail
        return self._faded(self._tokens) if self._tokens else np.zeros(0, dtype=np.float32)

    def _faded(self, tokens: Sequence[int]) -> Samples:
        samples = self._decode(tokens)
        if self._tail is not None:
            rising = np.linspace(0, 1, len(self._tail), dtype=np.float32)
            samples[: len(self._tail)] = samples[: len(self._tail)] * rising + self._tail * (1 - rising)
        return samples
