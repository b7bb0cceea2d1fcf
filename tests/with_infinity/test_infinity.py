"""The infinity engine, the real library, passes the suites with a tiny model of each kind that it knows."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.embed.engine import EngineConfig, Input, Pair
from gpt_server.services.embed.engines.infinity import InfinityEngine
from tests.engines import embed_models
from tests.engines.embed_suite import ClassificationSuite, EmbeddingSuite, RerankSuite, Subject, ask, running

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Subject, None]:
    model = embed_models.build(request.param, tmp_path_factory.mktemp("models"))
    async with running(InfinityEngine, str(model), batch_size=8) as started:
        yield started


@pytest.mark.parametrize("subject", ["bert_plain"], indirect=True, scope="class")
class TestEmbedding(EmbeddingSuite):
    refuses = frozenset({"token_ids"})

    async def test_vectors_come_as_the_model_makes_them(self, subject: Subject) -> None:
        rows = await self.rows(subject, "water boils")
        assert abs(np.linalg.norm(rows[0]) - 1) > 0.01


@pytest.mark.parametrize("subject", ["xlm_roberta_reranker"], indirect=True, scope="class")
class TestRerank(RerankSuite):
    async def test_pairs_with_queries_of_their_own(self, subject: Subject) -> None:
        pairs = [Pair(Input(text=a), Input(text=b)) for a, b in (("x", "water"), ("y", "water"), ("x", "hello"))]
        together, _ = await ask(subject, pairs)
        alone = [(await ask(subject, [pair]))[0].rows for pair in pairs]
        assert np.allclose(together.rows, np.concatenate(alone), atol=1e-4)

    async def test_what_it_cannot_do_is_refused(self, subject: Subject) -> None:
        with pytest.raises(UnsupportedFeature, match="window"):
            await self.rows(subject, "water", truncate_prompt_tokens=5)
        with pytest.raises(UnsupportedFeature) as refused:
            await self.rows(subject, "water", prompt="query: ")
        assert refused.value.field == "options.prompt"


@pytest.mark.parametrize("subject", ["bert_moderation"], indirect=True, scope="class")
class TestClassification(ClassificationSuite):
    """Text-Moderation's kind."""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch_sise", 5, "infinity has no such argument; did you mean batch_size?"),
        ("dtype", "float8", "Input should be 'float32', 'float16'"),
        ("served_model_name", "x", "not taken here: set `names` of the entry"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_loaded(name: str, value: Any, said: str) -> None:
    (problem,) = InfinityEngine.check(EngineConfig("hub/model", engine_args={name: value}))
    assert problem.key == f"engine_args.{name}"
    assert problem.message.startswith(said)


def test_models_are_folders_or_ids(tmp_path: Path) -> None:
    (problem,) = InfinityEngine.check(EngineConfig(str(tmp_path)))
    assert problem.key == "model"


def test_nothing_is_told_to_anybody() -> None:
    from infinity_emb.telemetry import TELEMETRY_ENABLED

    assert os.environ["DO_NOT_TRACK"] == "1"
    assert not TELEMETRY_ENABLED
