"""Long sound, cut at its silences into utterances short enough for a library that wants arrays.

Where it is cut depends on the sound alone, not on the pieces in which it comes. What is kept of it is never more than
one utterance, a second and the piece that came last.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from gpt_server.services.audio import silero
from gpt_server.services.audio.engine import Samples, VoiceActivity
from gpt_server.services.audio.silero import BLOCK, RATE_HZ, WINDOW

HYSTERESIS = 0.15
"""How far below the threshold a probability must fall to count as silence."""
LEAST_SPEECH_S = 0.1


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech, with some silence around it. `start_s`: seconds from the beginning of the sound."""

    start_s: float
    samples: Samples

    @property
    def end_s(self) -> float:
        """Where it ends, in seconds from the beginning of the sound."""
        return self.start_s + len(self.samples) / RATE_HZ


async def utterances(
    sound: AsyncIterator[Samples],
    activity: VoiceActivity,
    *,
    max_s: float = 30.0,
    padding_ms: int = 250,
    silence_ms: int = 600,
) -> AsyncGenerator[Utterance, None]:
    """Yields the speech in a sound of 16 kHz, each stretch as soon as the silence after it is long enough.

    Args:
        sound: pieces of any length.
        activity: what the caller wants; what is unset is as the following arguments say.
        max_s: an utterance that is longer is cut where it is quietest in its second half.
        padding_ms: silence kept on either side.
        silence_ms: how long a silence must be to end an utterance.
    """
    threshold = 0.5 if activity.threshold is None else activity.threshold
    padding = padding_ms if activity.prefix_padding_ms is None else activity.prefix_padding_ms
    silence = silence_ms if activity.silence_duration_ms is None else activity.silence_duration_ms
    cutter = _Cutter(threshold, _windows(padding), max(1, _windows(silence)), round(max_s * RATE_HZ / WINDOW))
    detector = silero.VoiceDetector()
    async with aclosing(_blocks(sound)) as blocks:
        async for block, samples in blocks:
            for utterance in await asyncio.to_thread(cutter.add, block, samples, detector):
                yield utterance
    for utterance in cutter.end():
        yield utterance


async def _blocks(sound: AsyncIterator[Samples]) -> AsyncGenerator[tuple[Samples, int], None]:
    """Yields a sound in blocks of equal length, and how many samples of each are the sound's: the last is filled up."""
    rest: list[Samples] = []
    length = 0
    async for piece in sound:
        rest.append(piece)
        length += len(piece)
        if length >= BLOCK * WINDOW:
            joined = np.concatenate(rest)
            whole = length - length % (BLOCK * WINDOW)
            for block in joined[:whole].reshape(-1, BLOCK, WINDOW):
                yield block, BLOCK * WINDOW
            rest, length = [joined[whole:]], length - whole
    if length:
        joined = np.pad(np.concatenate(rest), (0, BLOCK * WINDOW - length))
        yield joined.reshape(BLOCK, WINDOW), length


def _windows(time_ms: int) -> int:
    return round(time_ms * RATE_HZ / 1000 / WINDOW)


class _Cutter:
    """Follows one sound, window by window. All its numbers count windows."""

    def __init__(self, threshold: float, padding: int, silence: int, longest: int) -> None:
        self._threshold = threshold
        self._padding = padding
        self._silence = silence
        self._longest = longest
        self._kept: list[Samples] = []
        self._probabilities: list[float] = []
        self._first = 0
        """Place in the sound of the first window that is kept."""
        self._speech = 0
        """How many of those kept were speech; 0: no utterance has begun."""
        self._quiet = 0
        """How many of the last ones were not."""

    def add(self, block: Samples, samples: int, detector: silero.VoiceDetector) -> list[Utterance]:
        """Returns the utterances that end in the next block, of which only the first `samples` are the sound's."""
        found: list[Utterance] = []
        probabilities = detector.probabilities(block)[: math.ceil(samples / WINDOW)]
        for i, probability in enumerate(probabilities):
            found += self._step(block[i, : samples - i * WINDOW].copy(), probability)
        return found

    def end(self) -> Iterator[Utterance]:
        """Yields the last utterance."""
        if self._is_speech():
            yield self._cut(len(self._kept))

    def _is_speech(self) -> bool:
        return self._speech * WINDOW >= LEAST_SPEECH_S * RATE_HZ

    def _step(self, window: Samples, probability: float) -> Iterator[Utterance]:
        self._kept.append(window)
        self._probabilities.append(probability)
        if probability >= self._threshold:
            self._speech += 1
            self._quiet = 0
        elif probability < self._threshold - HYSTERESIS or not self._speech:
            self._quiet += 1
        if not self._speech:
            self._drop(len(self._kept) - self._padding)
        elif self._quiet >= max(self._silence, self._padding):
            if self._is_speech():
                yield self._cut(len(self._kept) - self._quiet + self._padding)
            self._speech = 0
            self._drop(len(self._kept) - self._padding)
        elif len(self._kept) >= self._longest:
            yield self._cut_at_the_quietest()

    def _cut_at_the_quietest(self) -> Utterance:
        half = len(self._probabilities) // 2
        at = half + int(np.argmin(self._probabilities[half:]))
        utterance = self._cut(at + 1)
        self._speech = sum(probability >= self._threshold for probability in self._probabilities)
        return utterance

    def _cut(self, count: int) -> Utterance:
        utterance = Utterance(self._first * WINDOW / RATE_HZ, np.concatenate(self._kept[:count]))
        self._drop(count)
        return utterance

    def _drop(self, count: int) -> None:
        if count > 0:
            del self._kept[:count], self._probabilities[:count]
            self._first += count
