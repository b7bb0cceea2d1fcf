"""What every audio engine does: suites over the contract in `services/audio/engine.py`, one for each side.

An engine's test module defines a fixture `subject` and a subclass, which says what there is to hear or to say. What a
library cannot do stands in `refuses` and is asserted as the named refusal.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from gpt_server.services.audio.engine import (
    AudioEngine,
    EngineConfig,
    ModelDetails,
    Samples,
    Segment,
    Speaker,
    SpeechRequest,
    Transcriber,
    TranscriptionConfig,
)
from gpt_server.services.common.errors import UnsupportedFeature

CONFIG = TranscriptionConfig("m")


@dataclass(frozen=True)
class Subject:
    """A running engine and what it said of its model."""

    engine: AudioEngine
    details: ModelDetails

    @property
    def ear(self) -> Transcriber:
        """The engine's side that listens."""
        assert isinstance(self.engine, Transcriber)
        return self.engine

    @property
    def mouth(self) -> Speaker:
        """The engine's side that speaks."""
        assert isinstance(self.engine, Speaker)
        return self.engine


@asynccontextmanager
async def running(engine_type: type[AudioEngine], model: str, **engine_args: Any) -> AsyncGenerator[Subject, None]:
    """Runs an engine until the block ends; its configuration is found right."""
    config = EngineConfig(model, engine_args=engine_args)
    assert engine_type.check(config) == []
    engine = engine_type(config)
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()


async def pieces(sound: Samples, length: int = 0) -> AsyncIterator[Samples]:
    """Yields a sound, whole or in pieces of so many samples."""
    length = length or len(sound)
    for start in range(0, len(sound), length):
        yield sound[start : start + length]


async def hear(
    subject: Subject, sound: Samples, config: TranscriptionConfig = CONFIG, length: int = 0
) -> list[Segment]:
    """Returns the segments of a sound."""
    prepared = await subject.ear.prepare_transcription(config)
    async with aclosing(subject.ear.transcribe(prepared, pieces(sound, length))) as outputs:
        return [segment async for output in outputs for segment in output.segments]


async def say(subject: Subject, text: str, **fields: Any) -> Samples:
    """Returns what an engine speaks, with the model's default voice unless `fields` say otherwise."""
    request = SpeechRequest("m", text, **{"voice": subject.details.default_voice or None} | fields)
    prepared = await subject.mouth.prepare_speech(request)
    async with aclosing(subject.mouth.synthesize(prepared)) as outputs:
        return np.concatenate([output.samples async for output in outputs])


async def idle(engine: AudioEngine) -> None:
    """Returns when an engine works on nothing; fails after 10 s."""
    async with asyncio.timeout(10):
        while engine.running():
            await asyncio.sleep(0.005)


def text_of(segments: Sequence[Segment]) -> str:
    """Returns what was heard."""
    return "".join(segment.text for segment in segments).strip()


@pytest.mark.asyncio(loop_scope="session")
class TranscriptionSuite:
    """Engines that listen. `says`: a part of what must come out, lower case."""

    #: Fields of `TranscriptionConfig` that the engine refuses as `UnsupportedFeature`, of `SETTINGS`.
    refuses: ClassVar[frozenset[str]] = frozenset()
    says: ClassVar[str] = ""
    SETTINGS: ClassVar[dict[str, Any]] = {
        "prompt": "Hello.",
        "keywords": ("hello",),
        "temperature": 0.0,
        "word_timestamps": True,
    }

    def sound(self) -> Samples:
        """Returns speech of at least 3 s, at the model's rate; the same at each call."""
        raise NotImplementedError

    async def test_whole_or_in_pieces_is_the_same(self, subject: Subject) -> None:
        sound = self.sound()
        whole = await hear(subject, sound)
        assert whole
        assert self.says in text_of(whole).lower()
        assert await hear(subject, sound, length=1237) == whole
        assert await hear(subject, sound, length=subject.details.input_sample_rate_hz) == whole

    async def test_times_grow_and_stay_inside(self, subject: Subject) -> None:
        sound = self.sound()
        words = "word_timestamps" not in self.refuses
        twice = np.concatenate([sound, np.zeros(subject.details.input_sample_rate_hz * 2, dtype=np.float32), sound])
        segments = await hear(subject, twice, replace(CONFIG, word_timestamps=words or None))
        end_s = len(twice) / subject.details.input_sample_rate_hz
        last_s = 0.0
        for segment in segments:
            assert last_s <= segment.start_s <= segment.end_s <= end_s
            last_s = segment.start_s
            at_s = segment.start_s
            for word in segment.words:
                assert at_s <= word.start_s <= word.end_s <= segment.end_s
                at_s = word.start_s
        assert segments[-1].end_s > end_s / 2
        if words:
            assert text_of(segments).split() == [word.text for segment in segments for word in segment.words]

    async def test_silence_has_no_text(self, subject: Subject) -> None:
        silence = np.zeros(subject.details.input_sample_rate_hz * 3, dtype=np.float32)
        assert text_of(await hear(subject, silence)) == ""

    async def test_callers_at_the_same_time_get_their_own(self, subject: Subject) -> None:
        sound = self.sound()
        half = sound[: len(sound) // 2]
        expected = [await hear(subject, sound), await hear(subject, half)]
        assert list(await asyncio.gather(hear(subject, sound), hear(subject, half))) == expected

    async def test_what_it_cannot_do_is_refused_by_name(self, subject: Subject) -> None:
        sound = self.sound()
        for field, value in self.SETTINGS.items():
            config = replace(CONFIG, **{field: value})
            if field in self.refuses:
                with pytest.raises(UnsupportedFeature) as refusal:
                    await subject.ear.prepare_transcription(config)
                assert refusal.value.field == field
            else:
                assert await hear(subject, sound, config)

    async def test_closing_stops_it(self, subject: Subject) -> None:
        sound = self.sound()
        taken = 0

        async def endless() -> AsyncIterator[Samples]:
            nonlocal taken
            while True:
                taken += 1
                yield sound

        prepared = await subject.ear.prepare_transcription(CONFIG)
        async with aclosing(subject.ear.transcribe(prepared, endless())) as outputs:
            async for output in outputs:
                if output.segments:
                    assert subject.engine.running() == 1
                    break
        await idle(subject.engine)
        stopped_at = taken
        assert await hear(subject, sound)
        assert taken == stopped_at

    async def test_a_cancelled_caller_hurts_nobody(self, subject: Subject) -> None:
        sound = self.sound()
        expected = await hear(subject, sound)
        tasks = [asyncio.create_task(hear(subject, sound)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True]
        assert done[1] == expected
        await idle(subject.engine)


@pytest.mark.asyncio(loop_scope="session")
class SpeechSuite:
    """Engines that speak. `text`, and how long it takes to say, in seconds."""

    #: Fields of `SpeechRequest` that the engine refuses as `UnsupportedFeature`, of `SETTINGS`.
    refuses: ClassVar[frozenset[str]] = frozenset()
    text: ClassVar[str] = "The quick brown fox jumps over the lazy dog."
    lasts_s: ClassVar[tuple[float, float]] = (1.0, 6.0)
    SETTINGS: ClassVar[dict[str, Any]] = {"pitch": 1.5, "instructions": "Whisper.", "language": "en", "seed": 1}

    async def test_speech_is_sound_of_the_right_length(self, subject: Subject) -> None:
        samples = await say(subject, self.text)
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.isfinite(samples).all()
        assert 0.01 < np.abs(samples).max() <= 1
        least, most = self.lasts_s
        assert least <= len(samples) / subject.details.output_sample_rate_hz <= most

    async def test_more_text_takes_longer(self, subject: Subject) -> None:
        once, twice = await say(subject, self.text), await say(subject, f"{self.text} {self.text}")
        assert 1.5 < len(twice) / len(once) < 2.5

    async def test_every_voice_speaks(self, subject: Subject) -> None:
        names = [voice.name for voice in subject.details.voices]
        assert len(set(names)) == len(names)
        assert subject.details.default_voice in {*names, ""}
        for name in names:
            assert np.abs(await say(subject, "Hello.", voice=name)).max() > 0.01

    async def test_it_changes_the_speed_if_it_says_so(self, subject: Subject) -> None:
        if subject.details.takes_speed:
            slow, fast = [len(await say(subject, self.text, speed=speed)) for speed in (0.5, 2.0)]
            assert 2.5 < slow / fast < 6

    async def test_callers_at_the_same_time_get_their_own(self, subject: Subject) -> None:
        texts = [self.text, "Hello."]
        alone = [await say(subject, text, **self.repeatable) for text in texts]
        together = await asyncio.gather(*[say(subject, text, **self.repeatable) for text in texts])
        for one, other in zip(alone, together, strict=True):
            assert self.same(one, other)

    def same(self, one: Samples, other: Samples) -> bool:
        """Whether two pieces of speech are of the same text; engines that cannot repeat themselves know less."""
        return np.array_equal(one, other)

    @property
    def repeatable(self) -> dict[str, Any]:
        """What makes the same speech of the same text."""
        return {} if "seed" in self.refuses else {"seed": 1}

    async def test_what_it_cannot_do_is_refused_by_name(self, subject: Subject) -> None:
        for field, value in self.SETTINGS.items():
            if field in self.refuses:
                with pytest.raises(UnsupportedFeature) as refusal:
                    await say(subject, self.text, **{field: value})
                assert refusal.value.field == field
            else:
                assert len(await say(subject, self.text, **{field: value}))

    async def test_closing_stops_it(self, subject: Subject) -> None:
        request = SpeechRequest("m", f"{self.text} " * 50, voice=subject.details.default_voice or None)
        prepared = await subject.mouth.prepare_speech(request)
        async with aclosing(subject.mouth.synthesize(prepared)) as outputs:
            async for output in outputs:
                assert len(output.samples)
                assert subject.engine.running() == 1
                break
        await idle(subject.engine)
        assert len(await say(subject, "Hello."))

    async def test_a_cancelled_caller_hurts_nobody(self, subject: Subject) -> None:
        expected = await say(subject, self.text, **self.repeatable)
        tasks = [asyncio.create_task(say(subject, self.text, **self.repeatable)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False, True]
        assert isinstance(done[1], np.ndarray)
        assert self.same(done[1], expected)
        await idle(subject.engine)
