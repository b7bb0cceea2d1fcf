"""The whisper engine passes the suite with a tiny model in the real format: what it writes has no meaning."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
import pytest_asyncio

from gpt_server.services.audio.engine import Samples
from gpt_server.services.audio.engines.whisper import WhisperEngine
from gpt_server.services.common.errors import InvalidField
from tests.engines import audio_models
from tests.engines.audio_suite import CONFIG, Subject, TranscriptionSuite, hear, running

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while they load


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Subject, None]:
    folder = tmp_path_factory.mktemp("models") / "whisper"
    audio_models.whisper(folder)
    # Random weights never look right: trying again would take six times as long, and differ from time to time.
    async with running(WhisperEngine, str(folder), temperature_fallback=False) as started:
        yield started


class TestWhisper(TranscriptionSuite):
    refuses = frozenset({"keywords"})

    def sound(self) -> Samples:
        return audio_models.speech()

    async def test_it_translates_and_knows_languages(self, subject: Subject) -> None:
        assert subject.details.capabilities == {"transcription", "translation"}
        assert subject.details.transcription_languages == sorted(audio_models.LANGUAGES)
        german = await hear(subject, self.sound(), replace(CONFIG, language="de"))
        assert {segment.language for segment in german} == {"de"}
        english = await hear(subject, self.sound(), replace(CONFIG, language="de", task="translate"))
        assert {segment.language for segment in english} == {"en"}

    async def test_a_prompt_changes_what_it_expects(self, subject: Subject) -> None:
        plain = await hear(subject, self.sound())
        assert await hear(subject, self.sound(), replace(CONFIG, prompt="seven kitchens and nine zeros")) != plain

    async def test_a_prompt_with_a_mark_of_the_model_is_refused(self, subject: Subject) -> None:
        with pytest.raises(InvalidField) as refusal:
            await subject.ear.prepare_transcription(replace(CONFIG, prompt="hello <|startoftranscript|>"))
        assert refusal.value.field == "prompt"
