"""The engine: vLLM-Omni's server as a child process, asked by HTTP on loopback, answered in raw samples."""

import asyncio
import base64
import io
import struct
import sys
import wave
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np

from gpt_server.services.audio.engine import (
    Capability,
    EngineConfig,
    ModelDetails,
    PreparedSpeech,
    Problem,
    Samples,
    Speaker,
    SpeechOutput,
    SpeechRequest,
    Voice,
    VoiceReference,
)
from gpt_server.services.audio.engines.vllm_omni import arguments
from gpt_server.services.audio.engines.vllm_omni.arguments import Arguments, options
from gpt_server.services.common.child_server import ChildServer, Refused
from gpt_server.services.common.errors import EngineUnavailable, InvalidField, UnsupportedFeature

REFERENCE_RATE_HZ = 24_000
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
"""Of the WAV file that the server streams; the eighth number is its rate."""


class VLLMOmniEngine(Speaker):
    """See `Speaker`. `engine_args`: see `Arguments`."""

    name = "vllm_omni"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._server = ChildServer(self._command, "VLLM_API_KEY")
        self._watching: asyncio.Task[None] | None = None
        self._running = 0
        self._arguments: Arguments

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    def _command(self, port: int) -> Sequence[str]:
        place = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "model"]
        program = [sys.executable, "-m", "vllm_omni.entrypoints.cli.main", "serve", self.config.model, "--omni"]
        return [*program, *place, *options(self._arguments.serve)]

    async def start(self) -> ModelDetails:
        """Runs the server, and asks it for its voices."""
        said = self._arguments = Arguments.model_validate(dict(self.config.engine_args))
        await self._server.start(said.load_timeout_s)
        self._watching = asyncio.create_task(self._watch())
        names = (await self._server.get("/v1/audio/voices"))["voices"]
        capabilities: set[Capability] = {"speech"}
        if said.clones:
            capabilities.add("voice_cloning")
        return ModelDetails(
            capabilities=frozenset(capabilities),
            input_sample_rate_hz=REFERENCE_RATE_HZ,
            output_sample_rate_hz=said.sample_rate_hz,
            speech_languages=tuple(said.languages),
            voices=[Voice(name) for name in names],
            default_voice=names[0] if names else "",
            takes_speed=said.takes_speed,
        )

    async def close(self) -> None:
        """Ends the server."""
        if self._watching is not None:
            self._watching.cancel()
        await self._server.close()

    def running(self) -> int:
        """Returns how many requests are being answered."""
        return self._running

    async def prepare_speech(self, request: SpeechRequest) -> PreparedSpeech:
        """Refuses what no model of vLLM-Omni's takes, and what the configuration says that this one does not."""
        if request.pitch not in (None, 1.0):
            raise UnsupportedFeature("pitch", "must not be set; no model of vLLM-Omni's takes it")
        if request.instructions and not self._arguments.takes_instructions:
            raise UnsupportedFeature("instructions", "must be empty; this model cannot be told how to speak")
        return PreparedSpeech(request)

    async def synthesize(self, prepared: PreparedSpeech) -> AsyncGenerator[SpeechOutput, None]:
        """Yields samples as the server sends them."""
        self._running += 1
        try:
            pieces = self._server.post("/v1/audio/speech", self.body(prepared.request))
            async with aclosing(pieces), aclosing(self._samples(pieces)) as found:
                async for samples in found:
                    yield SpeechOutput(samples)
        except Refused as error:
            if error.status < 500:
                raise InvalidField("input", f"the model's server has refused the request: {error}") from error
            raise EngineUnavailable(f"the model's server has failed: {error}") from error
        except ConnectionError as error:
            raise EngineUnavailable(f"the model's server has broken off: {error}") from error
        finally:
            self._running -= 1

    def body(self, request: SpeechRequest) -> dict[str, Any]:
        """Returns a request as vLLM-Omni's server takes it."""
        reference = request.reference
        fields = {
            "model": "model",
            "input": request.input,
            "voice": request.voice,
            "instructions": request.instructions or None,
            "speed": request.speed,
            "language": self._arguments.languages.get(request.language) if request.language else None,
            "seed": request.seed,
            "ref_audio": _data_uri(reference) if reference else None,
            "ref_text": reference.text or None if reference else None,
            "task_type": self._arguments.task_type,
            "extra_params": self._arguments.extra_params,
        }
        wanted = {name: value for name, value in fields.items() if value is not None}
        return wanted | {"response_format": "wav", "stream": True, "stream_format": "audio"}

    async def _samples(self, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[Samples, None]:
        """Yields the samples of a WAV file that comes in pieces of any length."""
        rest = b""
        expects_header = True
        async for piece in pieces:
            rest += piece
            if expects_header:
                if len(rest) < HEADER.size:
                    continue
                self._check_header(rest[: HEADER.size])
                rest, expects_header = rest[HEADER.size :], False
            whole = len(rest) - len(rest) % 2
            if whole:
                yield np.frombuffer(rest[:whole], "<i2").astype(np.float32) / np.float32(32768)
                rest = rest[whole:]
        if expects_header:
            raise EngineUnavailable("the model's server has sent no sound")

    def _check_header(self, header: bytes) -> None:
        _, _, _, _, _, _, channels, rate_hz, _, _, bits, _, _ = HEADER.unpack(header)
        expected = (1, self._arguments.sample_rate_hz, 16)
        if (channels, rate_hz, bits) != expected:
            raise EngineUnavailable(
                f"the model speaks with {channels} channel(s) of {rate_hz} Hz and {bits} bits, not {expected}; "
                "set engine_args.sample_rate_hz"
            )

    async def _watch(self) -> None:
        await self._server.died.wait()
        self.died.set()


def _data_uri(reference: VoiceReference) -> str:
    """Returns a recording as a data URI: the server would fetch an address, or read a file, if it were given one."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(REFERENCE_RATE_HZ)
        file.writeframes((np.clip(reference.samples, -1, 1) * 32767).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(content.getvalue()).decode()
