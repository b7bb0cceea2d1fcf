"""Speech and its transcription by rule, no model. For tests of everything around engines.

It speaks a tone of `WORD_S` seconds for each word, as high as the word is long. It writes down a word for each half
second that has sound: how high it is. A prompt, or an input, `{"fake": {...}}` scripts a fault; the keys are the fields
of `Script`. Tests in the same process can hold all requests at a gate, and await what they need: `gates`, `idle`,
`computed`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.audio.engine import (
    Capability,
    EngineConfig,
    ModelDetails,
    PreparedSpeech,
    PreparedTranscription,
    Problem,
    Samples,
    Segment,
    Speaker,
    SpeechOutput,
    SpeechRequest,
    Transcriber,
    TranscriptionConfig,
    TranscriptionOutput,
    Usage,
    Voice,
    Word,
)
from gpt_server.services.common.errors import EngineUnavailable, InvalidField, UnsupportedFeature
from gpt_server.services.common.gates import Gate

PHASES = ("prepare", "transcribe", "synthesize")
INPUT_RATE_HZ = 16_000
OUTPUT_RATE_HZ = 24_000
HALF_SECOND = INPUT_RATE_HZ // 2
WORD_S = 0.1
VOICES = (Voice("low", ("alloy", "onyx"), "en", "An octave lower"), Voice("high", ("nova",), "de"))
CAPABILITIES: dict[str, frozenset[Capability]] = {
    "transcription": frozenset({"transcription", "translation", "diarization"}),
    "speech": frozenset({"speech", "voice_cloning"}),
}


class Script(BaseModel):
    """What a text asks for under the key `fake`. `crash`: an unexpected error; `die`: the engine has died."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fail: bool = False
    crash: bool = False
    die: bool = False


class EngineArgs(BaseModel):
    """What `engine_args` may hold; times in seconds. `load_error`: `start` fails with it; `piece_s`: of each output."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Literal["transcription", "speech", "both"] = "both"
    piece_s: float = Field(default=0.0, ge=0)
    load_s: float = Field(default=0.0, ge=0)
    load_error: str = ""
    takes_speed: bool = False


class FakeEngine(Transcriber, Speaker):
    """The engine. `engine_args`: see `EngineArgs`."""

    name = "fake"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.gates = {phase: Gate() for phase in PHASES}
        self.idle = asyncio.Event()
        """Set while nothing is computed."""
        self.idle.set()
        self.computed = 0
        """Segments and words so far."""
        self._args = EngineArgs.model_validate(config.engine_args)
        self._running = 0

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns unknown arguments and such of a wrong type."""
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            return [Problem(f"engine_args.{fault['loc'][0]}", fault["msg"]) for fault in error.errors()]
        return []

    async def start(self) -> ModelDetails:
        """Waits for `load_s`, and fails if `load_error` says so."""
        await asyncio.sleep(self._args.load_s)
        if self._args.load_error:
            raise RuntimeError(self._args.load_error)
        tasks = CAPABILITIES if self._args.task == "both" else (self._args.task,)
        speaks = "speech" in tasks
        return ModelDetails(
            capabilities=frozenset[Capability]().union(*(CAPABILITIES[task] for task in tasks)),
            input_sample_rate_hz=INPUT_RATE_HZ,
            transcription_languages=("de", "en") if "transcription" in tasks else (),
            voice_activity=True,
            output_sample_rate_hz=OUTPUT_RATE_HZ,
            speech_languages=("de", "en") if speaks else (),
            voices=VOICES if speaks else (),
            default_voice="low" if speaks else "",
            takes_speed=self._args.takes_speed,
        )

    async def close(self) -> None:
        """Nothing was begun."""

    def running(self) -> int:
        """Returns how many requests are computed now."""
        return self._running

    async def prepare_transcription(self, config: TranscriptionConfig) -> PreparedTranscription:
        """Looks at the script."""
        await self.gates["prepare"].passed()
        _script(config.prompt, "prompt")
        return PreparedTranscription(config)

    async def transcribe(
        self, prepared: PreparedTranscription, sound: AsyncIterator[Samples]
    ) -> AsyncGenerator[TranscriptionOutput, None]:
        """Yields a segment for each half second that has sound."""
        with self._computing():
            heard, at = np.zeros(0, dtype=np.float32), 0
            async for piece in sound:
                heard = np.concatenate([heard, piece])
                while len(heard) >= HALF_SECOND:
                    yield await self._hear(prepared.config, heard[:HALF_SECOND], at)
                    heard, at = heard[HALF_SECOND:], at + HALF_SECOND
            if len(heard):
                yield await self._hear(prepared.config, heard, at)

    async def prepare_speech(self, request: SpeechRequest) -> PreparedSpeech:
        """Looks at the script."""
        await self.gates["prepare"].passed()
        if request.instructions:
            raise UnsupportedFeature("instructions", "must be empty; this model cannot be told how to speak")
        _script(request.input, "input")
        return PreparedSpeech(request)

    async def synthesize(self, prepared: PreparedSpeech) -> AsyncGenerator[SpeechOutput, None]:
        """Yields a tone for each word."""
        with self._computing():
            for word in prepared.request.input.split():
                await self._pass("synthesize", prepared.request.input)
                yield SpeechOutput(_tone(word, prepared.request), Usage(1, 5))

    async def _hear(self, config: TranscriptionConfig, heard: Samples, at: int) -> TranscriptionOutput:
        await self._pass("transcribe", config.prompt)
        if np.abs(heard).max() < 0.01:
            return TranscriptionOutput()
        start_s, end_s = at / INPUT_RATE_HZ, (at + len(heard)) / INPUT_RATE_HZ
        text = f"{round(_height_hz(heard), -1)}"
        words = (Word(text, start_s, end_s),) if config.word_timestamps else ()
        speaker = "A" if config.diarize else ""
        segment = Segment(
            start_s, end_s, f" {text}" if at else text, words, speaker, config.language or "en", -0.5, 0.1
        )
        return TranscriptionOutput((segment,), usage=Usage(0, 1))

    async def _pass(self, phase: str, text: str) -> None:
        """Waits at the gate, and plays the script."""
        await self.gates[phase].passed()
        await asyncio.sleep(self._args.piece_s)
        self.computed += 1
        script = _script(text, "")
        if script.die:
            self.died.set()
        if script.die or script.fail or self.died.is_set():
            raise EngineUnavailable("the engine has failed, as scripted")
        if script.crash:
            raise RuntimeError("secret: the engine has crashed, as scripted")

    @contextmanager
    def _computing(self) -> Iterator[None]:
        self._running += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self.idle.set()


def _script(text: str, field: str) -> Script:
    if not text.startswith('{"fake":'):
        return Script()
    try:
        return Script.model_validate(json.JSONDecoder().raw_decode(text)[0]["fake"])
    except (ValueError, ValidationError) as error:
        raise InvalidField(field, f"not a script of the fake engine: {error}") from None


def _tone(word: str, request: SpeechRequest) -> Samples:
    """Returns the sound of a word: 200 Hz and 20 Hz for each letter; an octave lower with the voice `low`."""
    samples = round(OUTPUT_RATE_HZ * WORD_S / (request.speed or 1))
    height_hz = (200 + 20 * len(word)) * (request.pitch or 1) / (2 if request.voice == "low" else 1)
    return np.asarray(0.5 * np.sin(2 * np.pi * height_hz * np.arange(samples) / OUTPUT_RATE_HZ), dtype=np.float32)


def _height_hz(heard: Samples) -> int:
    """Returns the strongest frequency."""
    strengths = np.abs(np.fft.rfft(heard))
    return round(int(strengths.argmax()) * INPUT_RATE_HZ / len(heard))
