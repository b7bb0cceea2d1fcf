"""The engine: a sentence becomes tokens, and tokens become sound while more of them come."""

import functools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt_server.services.audio.engine import (
    EngineConfig,
    ModelDetails,
    PreparedSpeech,
    Problem,
    Speaker,
    SpeechOutput,
    SpeechRequest,
    Usage,
    Voice,
)
from gpt_server.services.audio.engines.spark_tts import arguments
from gpt_server.services.audio.engines.spark_tts.arguments import Arguments
from gpt_server.services.audio.engines.spark_tts.prompts import (
    GENDERS,
    GLOBAL_TOKENS,
    Reference,
    Vocabulary,
    sentences,
)
from gpt_server.services.audio.engines.spark_tts.stream import SoundStream
from gpt_server.services.audio.language_model import Drawing, LanguageModel
from gpt_server.services.audio.library_thread import LibraryThread
from gpt_server.services.common.errors import EngineUnavailable, InvalidField, UnsupportedFeature

if TYPE_CHECKING:
    from gpt_server.services.audio.engines.spark_tts.codec import Codec

SAMPLE_RATE_HZ = 16_000
PREAMBLE = 64
"""Tokens that a made-up voice takes before it speaks, and a sentence for its silences."""


class SparkTTSEngine(Speaker):
    """See `Speaker`. `engine_args`: see `Arguments`."""

    name = "spark_tts"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._thread = LibraryThread()
        self._language: LanguageModel | None = None
        self._codec: Codec
        self._vocabulary: Vocabulary
        self._arguments: Arguments

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads both halves in the thread that uses them."""
        self._arguments = Arguments.model_validate(dict(self.config.engine_args))
        self._vocabulary, self._codec, self._language = await self._thread.run(
            _load, self.config, self._arguments, self._thread
        )
        if self._arguments.llm_address:
            from gpt_server.services.audio.llm_client import RemoteLanguageModel

            said = self._arguments
            self._language = RemoteLanguageModel(self._arguments.llm_address, said.llm_model, said.llm_ca_file)
        return ModelDetails(
            capabilities=frozenset({"speech", "voice_cloning"}),
            input_sample_rate_hz=SAMPLE_RATE_HZ,
            output_sample_rate_hz=SAMPLE_RATE_HZ,
            speech_languages=("en", "zh"),
            voices=[Voice(name, description=f"A {name} voice, made up anew for each request") for name in GENDERS],
            default_voice="female",
            takes_speed=self._arguments.takes_speed,
        )

    async def close(self) -> None:
        """Ends the thread, and the connection to the language half."""
        if self._language is not None:
            await self._language.close()
        self._thread.close()

    def running(self) -> int:
        """Returns how many requests are at work."""
        return self._thread.running()

    async def prepare_speech(self, request: SpeechRequest) -> PreparedSpeech:
        """Refuses what the model does not have: a cloned voice keeps its own pitch and speed."""
        for field in ("instructions", "language"):
            if getattr(request, field):
                raise UnsupportedFeature(field, "must be empty; the model hears it in the text, or not at all")
        for field in ("pitch", "speed"):
            if request.reference is not None and getattr(request, field) not in (None, 1.0):
                raise UnsupportedFeature(field, "must not be set with a reference; a cloned voice has its own")
        if not sentences(request.input):
            raise InvalidField("input", "must have something to say in it")
        return PreparedSpeech(request)

    async def synthesize(self, prepared: PreparedSpeech) -> AsyncGenerator[SpeechOutput, None]:
        """Speaks sentence by sentence; what the first one makes up of a voice, the others keep."""
        request = prepared.request
        with self._thread.request():
            voice = await self._reference(request)
            made_up: list[int] = []
            for sentence in sentences(request.input):
                if voice is not None:
                    prompt, spoken = self._vocabulary.cloned(sentence, voice), voice.global_tokens
                else:
                    prompt = self._vocabulary.styled(sentence, request.voice or "female", request.pitch, request.speed)
                    spoken = self._vocabulary.sounds(made_up, "global")
                async with aclosing(self._say(prompt + made_up, spoken, self._drawing(sentence, request))) as outputs:
                    async for output, preamble in outputs:
                        if not spoken:
                            made_up += preamble
                        yield output

    async def _say(
        self, prompt: Sequence[int], voice: Sequence[int], drawing: Drawing
    ) -> AsyncGenerator[tuple[SpeechOutput, Sequence[int]], None]:
        """Yields the sound of a sentence, and with its beginning the tokens before it that made up the voice."""
        preamble: list[int] = []
        stream: SoundStream | None = None
        prompt_tokens, count = len(prompt), 0
        async with aclosing(self._tokens(prompt, drawing)) as found:
            async for tokens in found:
                count += len(tokens)
                semantic = self._vocabulary.sounds(tokens, "semantic")
                if stream is None:
                    preamble += [token for token in tokens if not self._vocabulary.is_semantic(token)]
                    if not semantic:
                        continue
                    voice = voice or self._vocabulary.sounds(preamble, "global")
                    if len(voice) != GLOBAL_TOKENS:
                        raise EngineUnavailable(
                            f"the language model gave {len(voice)} tokens of a voice, not {GLOBAL_TOKENS}"
                        )
                    stream = SoundStream(functools.partial(self._codec.decode, voice), self._arguments.chunk_s)
                stream.add(semantic)
                while stream.ready:
                    samples = await self._thread.run(stream.sound)
                    yield SpeechOutput(samples, Usage(prompt_tokens, count)), preamble
                    preamble, prompt_tokens, count = [], 0, 0
        if stream is not None:
            yield SpeechOutput(await self._thread.run(stream.rest), Usage(prompt_tokens, count)), preamble

    def _tokens(self, prompt: Sequence[int], drawing: Drawing) -> AsyncGenerator[Sequence[int], None]:
        if self._language is None:
            raise EngineUnavailable("the engine has not been started")
        return self._language.tokens(prompt, drawing)

    async def _reference(self, request: SpeechRequest) -> Reference | None:
        if request.reference is None:
            return None
        voice, semantic = await self._thread.run(self._codec.encode, request.reference.samples)
        return Reference(voice, semantic, request.reference.text)

    def _drawing(self, sentence: str, request: SpeechRequest) -> Drawing:
        said = self._arguments
        return Drawing(
            temperature=said.temperature,
            top_k=said.top_k,
            top_p=said.top_p,
            seed=request.seed,
            max_tokens=PREAMBLE + said.tokens_per_character * len(sentence),
            end_ids=self._vocabulary.end_ids,
        )


def _load(config: EngineConfig, said: Arguments, thread: LibraryThread) -> tuple[Vocabulary, "Codec", Any]:
    from gpt_server.services.audio.engines.spark_tts.codec import Codec
    from gpt_server.services.audio.engines.spark_tts.language import LocalLanguageModel

    folder = Path(config.model)
    device = said.device if said.device != "auto" else "cuda" if config.gpus else "cpu"
    dtype = "float32" if said.dtype == "auto" and device == "cpu" else said.dtype
    language = None if said.llm_address else LocalLanguageModel(folder / "LLM", device, dtype, thread)
    return Vocabulary(folder / "LLM"), Codec(folder, device), language
