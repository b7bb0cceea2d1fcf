"""The pocketsphinx engine: sound is cut at silences, and a few processes write down an utterance at a time each."""

import importlib.util
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.audio import silero
from gpt_server.services.audio.children import Children
from gpt_server.services.audio.engine import (
    EngineConfig,
    ModelDetails,
    PreparedTranscription,
    Problem,
    Samples,
    Segment,
    Transcriber,
    TranscriptionConfig,
    TranscriptionOutput,
    Word,
)
from gpt_server.services.audio.utterances import Utterance, utterances
from gpt_server.services.common.errors import UnsupportedFeature

MODULE = "gpt_server.services.audio.engines.pocketsphinx.listen"
MODELS = ("en-us",)
MAX_S = 15.0
"""Of an utterance: a caller who leaves is not noticed within one."""
LOUDNESS = 0.7
SILENCE_S = 0.25
"""Put before and after an utterance: the model was trained on speech that has some."""


class EngineArgs(BaseModel):
    """What `engine_args` may hold. `processes`: utterances that are written down at the same time."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    processes: int = Field(default=2, ge=1, le=64)


class PocketsphinxEngine(Transcriber):
    """The engine. `engine_args`: see `EngineArgs`; the model is `en-us`, which comes with the library."""

    name = "pocketsphinx"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._children = Children((MODULE,), EngineArgs.model_validate(config.engine_args).processes)
        self._running = 0

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns another model than the library's own, unknown arguments, and such of a wrong type."""
        problems = []
        if config.model not in MODELS:
            problems.append(Problem("model", f"must be {MODELS[0]}, which comes with the library"))
        if missing := [name for name in ("pocketsphinx", "silero_vad") if not importlib.util.find_spec(name)]:
            problems.append(
                Problem("engine", f"{' and '.join(missing)} must be installed: pip install gpt-server[audio]")
            )
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            problems += [Problem(f"engine_args.{fault['loc'][0]}", fault["msg"]) for fault in error.errors()]
        return problems

    async def start(self) -> ModelDetails:
        """Starts the processes, and loads what finds silences."""
        silero.load()
        await self._children.start()
        return ModelDetails(
            capabilities=frozenset({"transcription"}),
            input_sample_rate_hz=silero.RATE_HZ,
            transcription_languages=("en",),
            voice_activity=True,
        )

    async def close(self) -> None:
        """Ends the processes."""
        await self._children.close()

    def running(self) -> int:
        """Returns how many sounds are written down now."""
        return self._running

    async def prepare_transcription(self, config: TranscriptionConfig) -> PreparedTranscription:
        """Refuses what the library has no place for."""
        if config.prompt:
            raise UnsupportedFeature("prompt", "must be empty; this model takes no prompt")
        if config.keywords:
            raise UnsupportedFeature("keywords", "must be empty; this model takes no keywords")
        if config.temperature:
            raise UnsupportedFeature("temperature", "must be 0 or unset; this model always takes the likeliest")
        return PreparedTranscription(config)

    async def transcribe(
        self, prepared: PreparedTranscription, sound: AsyncIterator[Samples]
    ) -> AsyncGenerator[TranscriptionOutput, None]:
        """Yields a segment for each utterance in which there is a word."""
        config, is_first = prepared.config, True
        self._running += 1
        try:
            async with aclosing(utterances(sound, config.voice_activity, max_s=MAX_S)) as found:
                async for utterance in found:
                    if words := await self._words(utterance):
                        yield TranscriptionOutput((_segment(words, bool(config.word_timestamps), is_first),))
                        is_first = False
        finally:
            self._running -= 1

    async def _words(self, utterance: Utterance) -> list[Word]:
        louder = utterance.samples * (LOUDNESS / max(float(np.abs(utterance.samples).max()), 1e-6))
        request = np.pad(louder * 32767, round(SILENCE_S * silero.RATE_HZ)).astype("<i2").tobytes()
        words: list[Word] = []
        async with aclosing(self._children.answers(request)) as answers:
            async for answer in answers:
                for text, start_s, end_s in json.loads(answer):
                    words.append(Word(text, *(_inside(utterance, time_s - SILENCE_S) for time_s in (start_s, end_s))))
        return words


def _inside(utterance: Utterance, time_s: float) -> float:
    return min(max(utterance.start_s, utterance.start_s + time_s), utterance.end_s)


def _segment(words: Sequence[Word], with_words: bool, is_first: bool) -> Segment:
    text = " ".join(word.text for word in words)
    return Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text=text if is_first else f" {text}",
        words=words if with_words else (),
        language="en",
    )
