"""The lmdeploy engine, the real library on the CPU with the demo model, passes the suites."""

import pytest

from tests.engines.abilities import ABILITIES
from tests.engines.asking import Subject
from tests.engines.llm_model_suite import Clear, LLMModelSuite, Plain, clear_prompts
from tests.with_lmdeploy.llm import CHAT


@pytest.fixture(scope="module")
def subject(lmdeploy: Subject) -> Subject:
    return lmdeploy


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain(CHAT)


@pytest.fixture(scope="module")
def clear(plain: Plain, subject: Subject) -> list[Clear]:
    return clear_prompts(plain, set(subject.details.eos_token_ids))


class TestLMDeploy(LLMModelSuite):
    refuses, harmless = ABILITIES["lmdeploy"].refuses, ABILITIES["lmdeploy"].harmless
