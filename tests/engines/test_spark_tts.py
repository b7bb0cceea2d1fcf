"""The spark_tts engine passes the suite with a tiny model in the real format: it speaks noise of the right length."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from gpt_server.services.audio.engine import EngineConfig, SpeechRequest, VoiceReference
from gpt_server.services.audio.engines.spark_tts import SparkTTSEngine
from gpt_server.services.audio.engines.spark_tts.prompts import level, sentences
from gpt_server.services.audio.engines.spark_tts.stream import OVERLAP, SoundStream
from gpt_server.services.common.errors import EngineUnavailable, InvalidField, UnsupportedFeature
from tests.engines import audio_models, spark_model
from tests.engines.audio_suite import SpeechSuite, Subject, running, say
from tests.support.service import llm_service

pytest.importorskip("flashtts")
pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while they load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "spark"
    spark_model.make(made)
    return made


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(folder: Path) -> AsyncGenerator[Subject, None]:
    async with running(SparkTTSEngine, str(folder), tokens_per_character=2, chunk_s=0.4) as started:
        yield started


class TestSpark(SpeechSuite):
    refuses = frozenset({"instructions", "language"})

    async def test_it_is_cloned_from_a_recording(self, subject: Subject) -> None:
        reference = VoiceReference(audio_models.speech(), audio_models.SENTENCE)
        cloned = await say(subject, "Hello there.", voice=None, reference=reference, seed=1)
        other = await say(subject, "Hello there.", seed=1)
        assert len(cloned) >= 320
        assert not np.array_equal(cloned[:320], other[:320])
        with pytest.raises(UnsupportedFeature) as refusal:
            await say(subject, "Hello.", voice=None, reference=reference, pitch=1.5)
        assert refusal.value.field == "pitch"

    async def test_sound_comes_before_the_last_token(self, subject: Subject) -> None:
        prepared = await subject.mouth.prepare_speech(SpeechRequest("m", self.text, voice="male", seed=1))
        async with aclosing(subject.mouth.synthesize(prepared)) as found:
            outputs = [output async for output in found]
        assert len(outputs) >= 2
        first, *rest = outputs
        assert first.usage
        assert first.usage.prompt_tokens > 0
        assert sum(output.usage.completion_tokens for output in rest if output.usage) > 0

    async def test_nothing_to_say_is_refused(self, subject: Subject) -> None:
        with pytest.raises(InvalidField):
            await say(subject, " \n ")


@pytest.mark.asyncio(loop_scope="session")
async def test_the_language_half_is_an_llm_service(folder: Path) -> None:
    text, said = "Hello there, world.", {"tokens_per_character": 2, "chunk_s": 0.4, "temperature": 0.0}
    models = {"spark-tts": {"engine": "hf", "model": str(folder / "LLM")}}
    async with llm_service(models) as service:
        async with running(SparkTTSEngine, str(folder), **said) as local:
            expected = await say(local, text, seed=1)
        async with running(SparkTTSEngine, str(folder), llm_address=service.address, **said) as remote:
            assert np.array_equal(await say(remote, text, seed=1), expected)
        async with running(SparkTTSEngine, str(folder), llm_address=service.address, llm_model="none", **said) as wrong:
            with pytest.raises(EngineUnavailable):
                await say(wrong, text)


def test_levels() -> None:
    assert [level(factor) for factor in (None, 1.0, 0.5, 0.8, 1.3, 2.0)] == [2, 2, 0, 1, 3, 4]


def test_long_text_is_cut_where_sentences_end() -> None:
    text = "First one. " + "word " * 60 + "end! 你好。"
    found = sentences(text)
    assert found[0] == "First one."
    assert all(len(one) <= 200 for one in found)
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("count", [3, OVERLAP, 20, 57, 200])
def test_a_stream_is_as_long_as_its_tokens(count: int) -> None:
    def decode(tokens: Any) -> Any:
        return np.repeat(np.asarray(tokens, np.float32), 320)

    stream, found = SoundStream(decode, 0.4), []
    for start in range(0, count, 7):
        stream.add(range(start, min(start + 7, count)))
        while stream.ready:
            found.append(stream.sound())
    found.append(stream.rest())
    sound = np.concatenate(found)
    assert len(sound) == 320 * count
    assert np.abs(sound - np.repeat(np.arange(count), 320)).max() < 1e-4


def test_the_folder_is_looked_at(tmp_path: Path) -> None:
    (problem,) = SparkTTSEngine.check(EngineConfig(str(tmp_path)))
    assert (problem.key, "BiCodec" in problem.message) == ("model", True)
