"""The vllm engine of the embed service, the real library on the CPU with a tiny model of each kind, passes the suites.

Each kind is one start of vLLM, so `subject` lives as long as its class.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.embed import numbers
from gpt_server.services.embed.engine import EngineConfig, Input, Pair
from gpt_server.services.embed.engines.vllm import VLLMEngine
from tests.engines import embed_models
from tests.engines.embed_suite import TEXTS, ClassificationSuite, EmbeddingSuite, RerankSuite, Subject, ask, running

SMALL = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 26, "max_num_seqs": 8}
#: vLLM's kernels add in another order than transformers'.
CLOSE = 1e-3


@pytest.fixture(scope="class")
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embed_models.build(request.param, tmp_path_factory.mktemp("pooling"))


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(folder: Path) -> AsyncGenerator[Subject, None]:
    async with running(VLLMEngine, str(folder), **SMALL) as started:
        yield started


@torch.inference_mode()
def logits(folder: Path, *texts: Any) -> Any:
    """What transformers computes of a text, or of two that are looked at together."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model(**AutoTokenizer.from_pretrained(folder)(*texts, return_tensors="pt")).logits.numpy()


@pytest.mark.parametrize("folder", ["bert_plain"], indirect=True, scope="class")
class TestEmbedding(EmbeddingSuite):
    async def test_vectors_are_those_of_transformers(self, subject: Subject, folder: Path) -> None:
        model = AutoModel.from_pretrained(folder).eval()
        tokens = AutoTokenizer.from_pretrained(folder)("water boils", return_tensors="pt")
        with torch.inference_mode():
            expected = model(**tokens).last_hidden_state[:, 0].numpy()
        assert np.allclose(await self.rows(subject, "water boils"), expected, atol=CLOSE)


@pytest.mark.parametrize("folder", ["xlm_roberta_reranker"], indirect=True, scope="class")
class TestRerank(RerankSuite):
    async def test_scores_are_those_of_transformers(self, subject: Subject, folder: Path) -> None:
        expected = logits(folder, "reset password", "water boils")
        assert np.allclose(await self.rows(subject, "water boils"), expected, atol=CLOSE)

    async def test_what_pairs_are_not_made_of_is_refused(self, subject: Subject) -> None:
        with pytest.raises(UnsupportedFeature) as refused:
            await self.rows(subject, "water boils", prompt="query: ")
        assert refused.value.field == "options.prompt"
        with pytest.raises(UnsupportedFeature, match="token ids"):
            await ask(subject, [Pair(Input(text="water"), Input(token_ids=[5]))])


@pytest.mark.parametrize("folder", ["bert_moderation"], indirect=True, scope="class")
class TestClassification(ClassificationSuite):
    async def test_scores_are_those_of_transformers(self, subject: Subject, folder: Path) -> None:
        expected = logits(folder, "water boils")
        assert np.allclose(await self.rows(subject, "water boils"), expected, atol=CLOSE)
        assert subject.details.labels == ("OK", "S", "V")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_model_of_vectors_compares(tmp_path: Path) -> None:
    """Two sides of a pair, the query computed once; through vLLM's causal models, which pool the last token."""
    model = embed_models.build("qwen3_plain", tmp_path)
    async with running(VLLMEngine, str(model), task="rerank", prompts={"query": "ask: "}, **SMALL) as subject:
        pairs = [Pair(Input(text="water boils"), Input(text=text)) for text in TEXTS]
        computed, together = await ask(subject, pairs)
        _, one = await ask(subject, pairs[:1])
        assert subject.details.activation == "cosine"
        assert numbers.activated(computed.rows, "cosine", raw=False).shape == (5, 1)
        assert together < 5 * one
        same, _ = await ask(subject, [Pair(Input(text="x"), Input(text="x"))], prompt="")
        assert abs(same.rows[0, 0] - 1) < CLOSE


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_model_length", 5, "vLLM has no such argument; did you mean max_model_len?"),
        ("runner", "generate", "not taken here: this service computes vectors, scores and labels"),
        ("enable_lora", True, "not taken here: adapters of vectors are not supported"),
        ("task", "chat", "Input should be 'auto', 'embedding', 'rerank' or 'classification'"),
        ("chat_template", "no/such/file", "no such file: no/such/file"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_loaded(name: str, value: Any, said: str) -> None:
    (problem,) = VLLMEngine.check(EngineConfig("hub/model", engine_args={name: value}))
    assert (problem.key, problem.message) == (f"engine_args.{name}", said)
