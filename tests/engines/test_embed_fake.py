"""The fake embed engine passes the suites, but for what a model without a vocabulary cannot show."""

from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest_asyncio

from gpt_server.services.embed.engine import Input
from gpt_server.services.embed.engines.fake import FakeEngine
from tests.engines.embed_suite import ClassificationSuite, EmbeddingSuite, RerankSuite, Subject, ask, running


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any) -> AsyncGenerator[Subject, None]:
    async with running(FakeEngine, "none", task=request.cls.task) as started:
        yield started


class TestEmbedding(EmbeddingSuite):
    task = "embedding"

    async def test_token_ids_are_taken_as_they_are(self, subject: Subject) -> None:
        """Words have no ids; ids are words of their own."""
        computed, count = await ask(subject, [Input(token_ids=[1, 2])])
        assert count == 2
        assert np.array_equal(computed.rows, await self.rows(subject, "#1 #2", prompt=""))


class TestRerank(RerankSuite):
    task = "rerank"


class TestClassification(ClassificationSuite):
    task = "classification"
