"""The vllm_omni engine against a stand-in of its server, which has vLLM-Omni's own request schema.

The schema is `OpenAICreateSpeechRequest.model_json_schema()` of the wheel vllm-omni 0.30.0 (`protocol/audio.py`),
without descriptions. The server itself needs a GPU: it has not run here.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from gpt_server.services.audio.engine import EngineConfig, SpeechRequest, VoiceReference
from gpt_server.services.audio.engines.vllm_omni import VLLMOmniEngine
from gpt_server.services.audio.engines.vllm_omni.arguments import options
from gpt_server.services.common.errors import EngineUnavailable, InvalidField
from tests.engines.audio_suite import SpeechSuite, Subject, say

HERE = Path(__file__).parent
SCHEMA = HERE / "vllm_omni_0.30.0_speech_request.json"
STAND_IN = HERE.parent / "support" / "omni_stand_in.py"


class StoodIn(VLLMOmniEngine):
    """The engine, with another program in the place of vLLM-Omni's."""

    def _command(self, port: int) -> Sequence[str]:
        theirs = super()._command(port)
        assert theirs[1:4] == ["-m", "vllm_omni.entrypoints.cli.main", "serve"]
        assert {"--omni", "127.0.0.1", str(port)} <= set(theirs)
        return [sys.executable, str(STAND_IN), str(port), str(SCHEMA)]


async def started(**engine_args: Any) -> Subject:
    engine = StoodIn(EngineConfig("Qwen/Qwen3-TTS", gpus=1, engine_args=engine_args))
    return Subject(engine, await engine.start())


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject() -> AsyncGenerator[Subject, None]:
    subject = await started(clones=True, extra_params={"x": 1}, task_type="CustomVoice")
    yield subject
    await subject.engine.close()


class TestVLLMOmni(SpeechSuite):
    refuses = frozenset({"pitch"})
    lasts_s = (0.85, 0.95)

    async def test_voices_and_languages_are_the_servers(self, subject: Subject) -> None:
        assert [voice.name for voice in subject.details.voices] == ["ryan", "vivian"]
        assert "en" in subject.details.speech_languages
        assert "voice_cloning" in subject.details.capabilities

    async def test_every_field_has_its_name(self, subject: Subject) -> None:
        reference = VoiceReference(np.zeros(2400, np.float32), "Hello.")
        request = SpeechRequest("m", "Hi.", None, reference, 1.5, None, "Whisper.", "en", 7)
        assert isinstance(subject.engine, VLLMOmniEngine)
        body = subject.engine.body(request)
        assert body.pop("ref_audio").startswith("data:audio/wav;base64,UklGR")
        assert body == {
            "model": "model",
            "input": "Hi.",
            "speed": 1.5,
            "instructions": "Whisper.",
            "language": "English",
            "seed": 7,
            "ref_text": "Hello.",
            "task_type": "CustomVoice",
            "extra_params": {"x": 1},
            "response_format": "wav",
            "stream": True,
            "stream_format": "audio",
        }
        cloned = await say(subject, "Hi.", voice=None, reference=reference)
        assert not np.array_equal(cloned, await say(subject, "Hi.", voice="vivian"))

    async def test_what_the_server_refuses_is_said(self, subject: Subject) -> None:
        with pytest.raises(InvalidField, match="Invalid voice"):
            await say(subject, "refuse me")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_that_dies_is_noticed() -> None:
    subject = await started()
    try:
        with pytest.raises(EngineUnavailable):
            await say(subject, "die")
        async with asyncio.timeout(10):
            await subject.engine.died.wait()
        with pytest.raises(EngineUnavailable):
            await say(subject, "Hello.")
    finally:
        await subject.engine.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_rate_that_was_not_expected_is_named() -> None:
    subject = await started(sample_rate_hz=48_000)
    try:
        with pytest.raises(EngineUnavailable, match="sample_rate_hz"):
            await say(subject, "Hello.")
    finally:
        await subject.engine.close()


def test_the_configuration_is_looked_at() -> None:
    config = EngineConfig("Qwen/Qwen3-TTS", engine_args={"serve": {"port": 1}, "clone": True})
    assert {problem.key for problem in VLLMOmniEngine.check(config)} >= {"gpus", "engine_args.clone"}
    config = EngineConfig("Qwen/Qwen3-TTS", gpus=1, engine_args={"serve": {"port": 1}})
    assert "engine_args.serve.port" in {problem.key for problem in VLLMOmniEngine.check(config)}


def test_options_become_a_command_line() -> None:
    said = {"max_model_len": 4096, "enforce_eager": True, "async_scheduling": False}
    assert options(said) == ["--max-model-len", "4096", "--enforce-eager", "--no-async-scheduling"]
