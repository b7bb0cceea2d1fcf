"""The engines of the demo, with their real libraries: they pass the suites, and one understands the other."""

from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest_asyncio
import soxr

from gpt_server.services.audio.engine import Samples
from gpt_server.services.audio.engines.espeak import EspeakEngine
from gpt_server.services.audio.engines.espeak.engine import RATE_HZ
from gpt_server.services.audio.engines.pocketsphinx import PocketsphinxEngine
from tests.engines.audio_suite import (
    SpeechSuite,
    Subject,
    TranscriptionSuite,
    hear,
    running,
    say,
    text_of,
)
from tests.support.sounds import silence
from tests.support.words import wrong_words

SENTENCES = (
    "What time is it?",
    "The weather is very nice today.",
    "Please call me back tomorrow morning.",
    "Stop the server and start it again.",
    "She sells seashells by the seashore.",
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def voice() -> AsyncGenerator[Subject, None]:
    async with running(EspeakEngine, "espeak-ng") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ear() -> AsyncGenerator[Subject, None]:
    async with running(PocketsphinxEngine, "en-us", processes=2) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def spoken(voice: Subject) -> list[Samples]:
    """The sentences, at 16 kHz."""
    return [soxr.resample(await say(voice, text), RATE_HZ, 16_000) for text in SENTENCES]


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any, voice: Subject, ear: Subject, spoken: list[Samples]) -> Subject:
    if request.cls is TestEspeak:
        return voice
    request.cls.heard = np.concatenate([spoken[1], silence(1), spoken[2]])
    return ear


class TestEspeak(SpeechSuite):
    refuses = frozenset({"instructions", "seed"})
    lasts_s = (2.0, 5.0)

    def same(self, one: Samples, other: Samples) -> bool:
        """Its voices tremble by chance."""
        return abs(len(one) - len(other)) < RATE_HZ / 50

    async def test_other_languages_and_scripts(self, subject: Subject) -> None:
        for text, language in (("Guten Tag", "de"), ("你好", "cmn"), ("Добрый день", "ru")):
            assert len(await say(subject, text, language=language)) > RATE_HZ / 4

    async def test_pitch_makes_it_higher(self, subject: Subject) -> None:
        low, high = [_height_hz(await say(subject, "Aaaaah", pitch=pitch, voice="en-us+m1")) for pitch in (0.7, 1.4)]
        assert high > low * 1.2


class TestPocketsphinx(TranscriptionSuite):
    refuses = frozenset({"prompt", "keywords"})
    says = "the weather is very nice today"
    heard: Samples

    def sound(self) -> Samples:
        return self.heard

    async def test_speech_of_the_demo_is_understood(self, subject: Subject, spoken: list[Samples]) -> None:
        """At most 30 % of the words are wrong, over sentences that nothing was trained on."""
        wrong = words = 0
        for text, sound in zip(SENTENCES, spoken, strict=True):
            more = wrong_words(text, text_of(await hear(subject, sound)))
            wrong, words = wrong + more, words + len(text.split())
        assert wrong / words <= 0.3, f"{wrong} of {words} words are wrong"

    async def test_long_silence_is_skipped_and_times_are_kept(self, subject: Subject, spoken: list[Samples]) -> None:
        sound = np.concatenate([silence(300), spoken[1]])
        first, *_ = await hear(subject, sound)
        assert 300 <= first.start_s < 301.5
        assert "weather" in first.text


def _height_hz(samples: Samples) -> float:
    """The strongest frequency of what repeats, between 50 and 400 Hz."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    repeats = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    shortest = RATE_HZ // 400
    return RATE_HZ / (shortest + int(repeats[shortest : RATE_HZ // 50].argmax()))
