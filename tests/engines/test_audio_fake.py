"""The fake audio engine passes the suites."""

from collections.abc import AsyncGenerator

import numpy as np
import pytest_asyncio

from gpt_server.services.audio.engine import Samples
from gpt_server.services.audio.engines.fake import FakeEngine
from tests.engines.audio_suite import SpeechSuite, Subject, TranscriptionSuite, running


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject() -> AsyncGenerator[Subject, None]:
    async with running(FakeEngine, "none", takes_speed=True) as started:
        yield started


class TestTranscription(TranscriptionSuite):
    says = "440"

    def sound(self) -> Samples:
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000 * 3) / 16_000)
        return tone.astype(np.float32)


class TestSpeech(SpeechSuite):
    refuses = frozenset({"instructions"})
    lasts_s = (0.85, 0.95)
