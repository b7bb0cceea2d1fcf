"""The engine: sound is cut into utterances, and the library writes down one after another in its thread."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

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
)
from gpt_server.services.audio.engines.funasr import arguments
from gpt_server.services.audio.engines.funasr.arguments import Arguments
from gpt_server.services.audio.library_thread import LibraryThread
from gpt_server.services.audio.utterances import utterances
from gpt_server.services.audio.words import joined, later
from gpt_server.services.common.errors import UnsupportedFeature

if TYPE_CHECKING:
    from gpt_server.services.audio.engines.funasr.model import Model

SAMPLE_RATE_HZ = 16_000


class FunASREngine(Transcriber):
    """See `Transcriber`. `engine_args`: see `Arguments`."""

    name = "funasr"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._thread = LibraryThread()
        self._model: Model

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads the models in the thread that uses them."""
        self._model = await self._thread.run(_load, self.config)
        return ModelDetails(
            capabilities=frozenset({"transcription"}),
            input_sample_rate_hz=SAMPLE_RATE_HZ,
            transcription_languages=self._model.family.languages,
            voice_activity=True,
        )

    async def close(self) -> None:
        """Ends the thread."""
        self._thread.close()

    def running(self) -> int:
        """Returns how many requests are at work."""
        return self._thread.running()

    async def prepare_transcription(self, config: TranscriptionConfig) -> PreparedTranscription:
        """Refuses what the model's family does not have."""
        family = self._model.family
        refused = {
            "prompt": bool(config.prompt),
            "temperature": config.temperature is not None,
            "language": bool(config.language) and not family.takes_language,
            "keywords": bool(config.keywords) and not family.takes_keywords,
            "word_timestamps": bool(config.word_timestamps) and not family.timestamps,
        }
        for field, is_refused in refused.items():
            if is_refused:
                raise UnsupportedFeature(field, "must not be set; this model has no use for it")
        return PreparedTranscription(config)

    async def transcribe(
        self, prepared: PreparedTranscription, sound: AsyncIterator[Samples]
    ) -> AsyncGenerator[TranscriptionOutput, None]:
        """Yields a segment for each utterance that has words."""
        config, before = prepared.config, ""
        longest_s = Arguments.model_validate(dict(self.config.engine_args)).max_utterance_s
        with self._thread.request():
            async with aclosing(utterances(sound, config.voice_activity, max_s=longest_s)) as cut:
                async for utterance in cut:
                    heard = await self._thread.run(self._model.hear, utterance.samples, config)
                    if heard.text:
                        text, start_s = joined(before, heard.text), utterance.start_s
                        words = later(heard.words, start_s)
                        segment = Segment(start_s, utterance.end_s, text, words, language=heard.language)
                        yield TranscriptionOutput((segment,))
                        before = text


def _load(config: EngineConfig) -> "Model":
    from gpt_server.services.audio.engines.funasr.model import Model

    return Model(config)
