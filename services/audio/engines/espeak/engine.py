"""The espeak engine: eSpeak NG in a few processes, each of which speaks one text at a time."""

import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.audio.children import Children
from gpt_server.services.audio.engine import (
    EngineConfig,
    ModelDetails,
    PreparedSpeech,
    Problem,
    Speaker,
    SpeechOutput,
    SpeechRequest,
)
from gpt_server.services.audio.engines.espeak.voices import DEFAULT, voices
from gpt_server.services.common.errors import UnsupportedFeature

RATE_HZ = 22_050
MODULE = "gpt_server.services.audio.engines.espeak.speak"
MODELS = ("espeak-ng",)


class EngineArgs(BaseModel):
    """What `engine_args` may hold. `processes`: texts that are spoken at the same time; `rate_wpm`: words a minute."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    processes: int = Field(default=2, ge=1, le=64)
    rate_wpm: int = Field(default=130, ge=80, le=450)


@dataclass(slots=True)
class EspeakSpeech(PreparedSpeech):
    """`message`: what the process is sent."""

    message: bytes


class EspeakEngine(Speaker):
    """The engine. `engine_args`: see `EngineArgs`; the model is `espeak-ng`, which comes with the library."""

    name = "espeak"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._args = EngineArgs.model_validate(config.engine_args)
        library, folder = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        self._folder = Path(folder)
        self._children = Children((MODULE, library, folder), self._args.processes)

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns a model that is not eSpeak NG, unknown arguments, and such of a wrong type."""
        problems = []
        if config.model not in MODELS:
            problems.append(Problem("model", f"must be {MODELS[0]}, which comes with the library"))
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            problems += [Problem(f"engine_args.{fault['loc'][0]}", fault["msg"]) for fault in error.errors()]
        return problems

    async def start(self) -> ModelDetails:
        """Starts the processes."""
        await self._children.start()
        found = voices(self._folder)
        return ModelDetails(
            capabilities=frozenset({"speech"}),
            output_sample_rate_hz=RATE_HZ,
            speech_languages=sorted({voice.language.partition("-")[0] for voice in found}),
            voices=found,
            default_voice=DEFAULT,
        )

    async def close(self) -> None:
        """Ends the processes."""
        await self._children.close()

    def running(self) -> int:
        """Returns how many texts are spoken now."""
        return self._children.busy

    async def prepare_speech(self, request: SpeechRequest) -> EspeakSpeech:
        """Chooses the voice: that of the language, with the variant that was asked for."""
        if request.instructions:
            raise UnsupportedFeature("instructions", "must be empty; this model cannot be told how to speak")
        if request.seed is not None:
            raise UnsupportedFeature("seed", "must be unset; this model cannot be made to repeat itself exactly")
        message = {
            "text": request.input.replace("\0", " "),
            "voice": _spoken_by(request.voice or DEFAULT, request.language),
            "rate_wpm": self._args.rate_wpm,
            "pitch": max(0, min(99, round(50 + 50 * math.log2(request.pitch or 1)))),
        }
        return EspeakSpeech(request, json.dumps(message).encode())

    async def synthesize(self, prepared: PreparedSpeech) -> AsyncGenerator[SpeechOutput, None]:
        """Yields samples as the process makes them; what it is ahead is what a pipe holds."""
        if not isinstance(prepared, EspeakSpeech):
            raise TypeError("prepared by another engine")
        async with aclosing(self._children.answers(prepared.message)) as answers:
            async for answer in answers:
                yield SpeechOutput(np.frombuffer(answer, dtype="<i2").astype(np.float32) / np.float32(32768))


def _spoken_by(voice: str, language: str) -> str:
    spoken, plus, variant = voice.partition("+")
    if not language or spoken.partition("-")[0] == language:
        return voice
    return f"{language}{plus}{variant}"
