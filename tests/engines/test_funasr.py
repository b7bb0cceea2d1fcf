"""The funasr engine passes the suite with the demo's trained SenseVoice, and with a tiny Paraformer."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from gpt_server.services.audio.engine import EngineConfig, Samples
from gpt_server.services.audio.engines.funasr import FunASREngine
from gpt_server.services.audio.engines.funasr.families import hotwords, read_tags
from gpt_server.services.common.errors import UnsupportedFeature
from tests.engines import audio_models
from tests.engines.audio_suite import CONFIG, Subject, TranscriptionSuite, hear, running, text_of

LISTENER = Path(__file__).parents[2] / "models" / "demo" / "listener"
pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while they load


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Subject, None]:
    async with running(FunASREngine, str(request.cls.model(tmp_path_factory)), ncpu=1) as started:
        yield started


class Listening(TranscriptionSuite):
    refuses = frozenset({"prompt", "keywords", "temperature"})

    def sound(self) -> Samples:
        return audio_models.speech()


class TestSenseVoice(Listening):
    says = "the meeting"

    @staticmethod
    def model(_: pytest.TempPathFactory) -> Path:
        return LISTENER

    async def test_tags_become_a_language_and_leave_the_text(self, subject: Subject) -> None:
        (segment,) = await hear(subject, self.sound())
        assert segment.language == "en"
        assert "<|" not in segment.text
        assert segment.text.startswith("The meeting")

    async def test_it_can_be_told_the_language(self, subject: Subject) -> None:
        assert subject.details.transcription_languages == ("zh", "en", "yue", "ja", "ko")
        assert "meeting" in text_of(await hear(subject, self.sound(), replace(CONFIG, language="en")))

    async def test_words_are_where_they_are_said(self, subject: Subject) -> None:
        silence = np.zeros(32_000, np.float32)
        late = np.concatenate([silence, self.sound(), silence])
        (segment,) = await hear(subject, late, replace(CONFIG, word_timestamps=True))
        assert 1.5 < segment.start_s < 2.1
        middle_s = (segment.start_s + segment.end_s) / 2
        assert segment.words[1].start_s < middle_s < segment.words[-1].end_s


class TestParaformer(Listening):
    @staticmethod
    def model(folders: pytest.TempPathFactory) -> Path:
        folder = folders.mktemp("models") / "paraformer"
        audio_models.paraformer(folder)
        return folder

    async def test_a_language_is_refused(self, subject: Subject) -> None:
        with pytest.raises(UnsupportedFeature) as refusal:
            await subject.ear.prepare_transcription(replace(CONFIG, language="en"))
        assert refusal.value.field == "language"


def test_tags() -> None:
    found = read_tags("<|zh|><|HAPPY|><|Speech|><|withitn|>你好。")
    assert (found.text, found.language) == ("你好。", "zh")
    assert read_tags("plain").language == ""


@pytest.mark.parametrize("keyword", ["http://127.0.0.1/x", "/etc/hostname", "words.txt"])
def test_no_keyword_is_taken_for_an_address_or_a_file(keyword: str) -> None:
    given = hotwords([keyword])
    assert not given.startswith("http")
    assert not given.endswith(".txt")
    assert given.split() == [keyword]


def test_a_name_is_no_folder_unless_a_hub_is_allowed() -> None:
    (problem,) = FunASREngine.check(EngineConfig("iic/SenseVoiceSmall"))
    assert problem.key == "model"
    assert FunASREngine.check(EngineConfig("iic/SenseVoiceSmall", engine_args={"hub": "ms"})) == []


def test_unknown_arguments_are_named(tmp_path: Path) -> None:
    (tmp_path / "configuration.json").write_text("{}")
    problems = FunASREngine.check(EngineConfig(str(tmp_path), engine_args={"ncpus": 2, "hub": "none"}))
    assert [problem.key for problem in problems] == ["engine_args.ncpus"]
