"""Pictures in messages, on the hf engine."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engines import asking
from tests.engines.asking import Subject, ask, greedy
from tests.engines.hf_model import running
from tests.engines.tiny import llava_model, vision_model
from tests.engines.vision_suite import TOKENS, VisionSuite, about, picture


@pytest.fixture(scope="module", params=[vision_model, llava_model], ids=lambda make: make.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "vision"
    request.param(made)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(folder: Path) -> AsyncGenerator[Subject, None]:
    async with running(model=str(folder), max_images=2) as started:
        yield started


class TestHF(VisionSuite):
    @pytest.mark.asyncio(loop_scope="module")
    async def test_rows_with_and_without_pictures_decode_together(self, subject: Subject) -> None:
        """Positions are each row's own: a picture has fewer of them than tokens."""
        options = greedy(TOKENS, ignore_eos=True)
        wanted = [
            about(picture("red"), sampling=options),
            asking.request(text="Hello", sampling=options),
            about(picture("blue", size=(120, 40)), picture("green"), sampling=options),
        ]
        alone = [(await ask(subject.engine, one)).token_ids() for one in wanted]
        together = await asyncio.gather(*[ask(subject.engine, one) for one in wanted])
        assert [one.token_ids() for one in together] == alone

    @pytest.mark.asyncio(loop_scope="module")
    async def test_choices_and_the_score_of_a_prompt_with_a_picture(self, subject: Subject) -> None:
        answer = await ask(subject.engine, about(picture("red"), sampling=greedy(4, n=2, prompt_logprobs=0)))
        assert answer.token_ids(0) == answer.token_ids(1)
        assert [one.sampled.token_id for one in answer.prompt_logprobs()] == answer.prompt_token_ids
