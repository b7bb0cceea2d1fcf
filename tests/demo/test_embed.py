"""The demo's models for embeddings, reranking and moderation, as callers use them."""

import json
from collections.abc import AsyncIterator

import aiohttp
import numpy as np
import openai
import pytest
import pytest_asyncio

from tests.support.stack import RunningStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def client(demo: RunningStack) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="none") as opened:
        yield opened


async def test_near_in_meaning_is_near_in_space(client: openai.AsyncOpenAI) -> None:
    texts = ["The cat sat on the mat.", "A kitten was resting on a rug.", "Interest rates rose by two percent."]
    answer = await client.embeddings.create(model="demo-embed", input=texts)
    cat, kitten, money = np.array([row.embedding for row in answer.data])
    assert abs(np.linalg.norm(cat) - 1) < 1e-5
    assert cat @ kitten > 0.5 > 0.2 > cat @ money
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 20


async def test_what_answers_comes_first(demo: RunningStack) -> None:
    documents = ["Paris is large.", "Open the settings and choose 'forgot password'.", "Passwords have 12 characters."]
    body = {"model": "demo-rerank", "query": "How do I reset my password?", "documents": documents}
    async with aiohttp.ClientSession(demo.url) as session, session.post("/v1/rerank", json=body) as response:
        results = json.loads(await response.text())["results"]
    assert results[0]["index"] == 1
    assert results[-1]["index"] == 0


async def test_harm_is_flagged(client: openai.AsyncOpenAI) -> None:
    texts = ["I will come to your house and beat you.", "What time does the train to Berlin leave?"]
    harmful, safe = (await client.moderations.create(model="demo-moderation", input=texts)).results
    assert (harmful.flagged, harmful.categories.violence) == (True, True)
    assert safe.flagged is False


async def test_all_share_a_process(demo: RunningStack) -> None:
    models = [set(child["models"]) for child in demo.children().values() if child["models"]]
    assert {"demo-embed", "demo-rerank", "demo-moderation"} in models
