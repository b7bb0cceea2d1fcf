"""The engine that most tests of the hf engine share."""

from collections.abc import AsyncGenerator

import pytest_asyncio

from tests.engines.asking import Subject
from tests.engines.hf_model import running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hf() -> AsyncGenerator[Subject, None]:
    """The hf engine with the demo model."""
    async with running(prefill_chunk_tokens=64) as started:
        yield started
