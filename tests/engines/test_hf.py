"""The hf engine, with the demo model, passes the suites."""

import pytest

from tests.engines.abilities import ABILITIES
from tests.engines.asking import Subject
from tests.engines.hf_model import MODEL
from tests.engines.llm_model_suite import Clear, LLMModelSuite, Plain, clear_prompts


@pytest.fixture(scope="module")
def subject(hf: Subject) -> Subject:
    return hf


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain(MODEL)


@pytest.fixture(scope="module")
def clear(plain: Plain, subject: Subject) -> list[Clear]:
    return clear_prompts(plain, set(subject.details.eos_token_ids))


class TestHF(LLMModelSuite):
    refuses, harmless = ABILITIES["hf"].refuses, ABILITIES["hf"].harmless
