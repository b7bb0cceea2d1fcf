"""The engine: sound is cut into utterances of at most 30 s, and transformers writes down one after another."""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpt_server.services.audio.engine import (
    Capability,
    EngineConfig,
    ModelDetails,
    PreparedTranscription,
    Problem,
    Samples,
    Segment,
    Transcriber,
    TranscriptionConfig,
    TranscriptionOutput,
)
from gpt_server.services.audio.engines.whisper import arguments
from gpt_server.services.audio.library_thread import LibraryThread
from gpt_server.services.audio.utterances import Utterance, utterances
from gpt_server.services.audio.words import joined, later
from gpt_server.services.common.errors import InvalidField, UnsupportedFeature

if TYPE_CHECKING:
    from gpt_server.services.audio.engines.whisper.model import Model


@dataclass(slots=True)
class Prepared(PreparedTranscription):
    """A transcription, and its prompt as tokens."""

    prompt: Any = None


class WhisperEngine(Transcriber):
    """See `Transcriber`. `engine_args`: see `Arguments`."""

    name = "whisper"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._thread = LibraryThread()
        self._model: Model

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads the model in the thread that uses it."""
        self._model = await self._thread.run(_load, self.config)
        capabilities: set[Capability] = {"transcription"}
        if self._model.is_multilingual:
            capabilities.add("translation")
        languages = self._model.languages or ("en",)
        return ModelDetails(frozenset(capabilities), transcription_languages=languages, voice_activity=True)

    async def close(self) -> None:
        """Ends the thread."""
        self._thread.close()

    def running(self) -> int:
        """Returns how many requests are at work."""
        return self._thread.running()

    async def prepare_transcription(self, config: TranscriptionConfig) -> Prepared:
        """Turns the prompt into tokens, and refuses what the model does not have."""
        if config.keywords:
            raise UnsupportedFeature(
                "keywords", "must be empty; Whisper takes words that it is to expect in the prompt"
            )
        if config.word_timestamps and not self._model.times_words:
            raise UnsupportedFeature(
                "word_timestamps", "must not be set; the model's generation_config.json names no alignment_heads"
            )
        try:
            return Prepared(config, self._model.prompt_ids(config.prompt) if config.prompt else None)
        except ValueError as error:
            raise InvalidField("prompt", f"must be plain text: {error}") from None

    async def transcribe(
        self, prepared: PreparedTranscription, sound: AsyncIterator[Samples]
    ) -> AsyncGenerator[TranscriptionOutput, None]:
        """Yields the segments of each utterance; the prompt stands before the first."""
        if not isinstance(prepared, Prepared):
            raise TypeError("prepared by another engine")
        stop, prompt, before = threading.Event(), prepared.prompt, ""
        with self._thread.request():
            try:
                async with aclosing(utterances(sound, prepared.config.voice_activity)) as cut:
                    async for utterance in cut:
                        heard = await self._thread.run(
                            self._model.hear, utterance.samples, prepared.config, prompt, stop
                        )
                        segments = [_placed(one, utterance) for one in heard.segments]
                        for i, segment in enumerate(segments):
                            segments[i] = replace(segment, text=joined(before, segment.text))
                            before = segments[i].text
                        prompt = None
                        yield TranscriptionOutput(segments, usage=heard.usage)
            finally:
                stop.set()


def _placed(segment: Segment, utterance: Utterance) -> Segment:
    """Returns a segment with times from the beginning of the sound."""
    by_s = utterance.start_s
    end_s = min(by_s + segment.end_s, utterance.end_s)
    return replace(segment, start_s=by_s + segment.start_s, end_s=end_s, words=later(segment.words, by_s))


def _load(config: EngineConfig) -> "Model":
    from gpt_server.services.audio.engines.whisper.model import Model

    return Model(config)
