"""Pictures in messages, on the real LMDeploy."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engines.asking import Subject
from tests.engines.tiny import vision_model
from tests.engines.vision_suite import VisionSuite
from tests.with_lmdeploy.llm import running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "vision"
    vision_model(made)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject(folder: Path) -> AsyncGenerator[Subject, None]:
    async with running(str(folder), max_images=2) as started:
        yield started


class TestLMDeploy(VisionSuite):
    pass
