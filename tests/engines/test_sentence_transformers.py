"""The sentence_transformers engine passes the suites with a tiny model of each architecture that people serve."""

import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from PIL import Image as Pillow
from sentence_transformers import SentenceTransformer

from gpt_server.services.common.content import Image, Media, Part
from gpt_server.services.common.errors import InvalidMedia
from gpt_server.services.embed.engine import EngineConfig, Input, Pair
from gpt_server.services.embed.engines.sentence_transformers import SentenceTransformersEngine
from gpt_server.services.embed.metrics import PASSES
from tests.engines import embed_models
from tests.engines.embed_suite import ClassificationSuite, EmbeddingSuite, RerankSuite, Subject, ask, running

pytestmark = pytest.mark.filterwarnings("ignore")  # what the libraries say while models are built


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def subject(request: Any, folder: Path) -> AsyncGenerator[Subject, None]:
    name, arguments = request.param if isinstance(request.param, tuple) else (request.param, {})
    model = folder / name
    if not model.exists():
        embed_models.build(name, folder)
    async with running(SentenceTransformersEngine, str(model), **arguments) as started:
        yield started


@pytest.mark.parametrize(
    "subject", ["bert", "xlm_roberta", "qwen3_embedding", "jina_v3", "clip"], indirect=True, scope="class"
)
class TestEmbedding(EmbeddingSuite):
    """bge, bge-m3, Qwen3-Embedding, jina-embeddings-v3, bge-vl and their like."""


@pytest.mark.parametrize(
    "subject",
    ["xlm_roberta_reranker", "qwen3_reranker", "qwen2_vl_reranker", ("xlm_roberta", {"task": "rerank"})],
    ids=["xlm_roberta", "qwen3", "qwen2_vl", "vectors"],
    indirect=True,
    scope="class",
)
class TestRerank(RerankSuite):
    """bge-reranker, Qwen3-Reranker, jina-reranker-m0's kind, and a model of vectors whose cosine is the score."""


@pytest.mark.parametrize(
    "subject", ["bert_moderation", "deberta_moderation", "deberta_injection"], indirect=True, scope="class"
)
class TestClassification(ClassificationSuite):
    """Text-Moderation, prompt injection."""


def picture(colour: str) -> Part:
    content = io.BytesIO()
    Pillow.new("RGB", (40, 32), colour).save(content, "PNG")
    return Part(image=Image(Media(content.getvalue())))


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("subject", ["clip"], indirect=True, scope="class")
class TestPictures:
    """bge-vl's kind: texts and pictures in one space."""

    async def test_a_picture_is_an_input(self, subject: Subject) -> None:
        assert "image_input" in subject.details.capabilities
        items = [Input(parts=[picture("red")]), Input(text="hello"), Input(parts=[picture("blue")])]
        computed, _ = await ask(subject, items)
        assert computed.rows.shape == (3, 24)
        assert not np.allclose(computed.rows[0], computed.rows[2], atol=1e-4)
        alone, _ = await ask(subject, items[:1])
        assert np.allclose(alone.rows[0], computed.rows[0], atol=1e-5)

    async def test_pictures_share_a_pass(self, subject: Subject) -> None:
        before = PASSES._value.get()
        items = [Input(parts=[picture(colour)]) for colour in ("red", "blue", "green", "white")]
        await ask(subject, items)
        assert PASSES._value.get() == before + 1

    async def test_what_is_no_picture_is_refused(self, subject: Subject) -> None:
        broken = Part(image=Image(Media(b"\x89PNG\r\n\x1a\n nonsense")))
        with pytest.raises(InvalidMedia) as refusal:
            await ask(subject, [Input(parts=[broken])])
        assert refusal.value.field == "inputs[0].parts.parts[0].image"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("subject", ["qwen2_vl_reranker"], indirect=True, scope="class")
class TestPicturesInPairs:
    """jina-reranker-m0's kind: a text against texts and pictures."""

    async def test_documents_may_be_pictures(self, subject: Subject) -> None:
        assert {"rerank", "image_input"} <= subject.details.capabilities
        documents = [Input(parts=[picture("red")]), Input(text="hello"), Input(parts=[picture("blue")])]
        pairs = [Pair(Input(text="a colour"), document) for document in documents]
        together, tokens = await ask(subject, pairs)
        alone = [(await ask(subject, [pair]))[0].rows for pair in pairs]
        assert np.allclose(together.rows, np.concatenate(alone), atol=1e-4)
        assert together.rows[0] != together.rows[2]
        assert tokens > 3 * len(["a", "colour"])


def export(folder: Path) -> None:
    """Exports the transformer of a folder of the library's, as its users do."""
    first: Any = SentenceTransformer(str(folder), device="cpu")[0]
    transformer = first.model.eval()
    ids, mask = torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    (folder / "onnx").mkdir()
    torch.onnx.export(
        transformer,
        (),
        str(folder / "onnx" / "model.onnx"),
        kwargs={"input_ids": ids, "attention_mask": mask},
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
        dynamo=True,
        external_data=False,
    )


@pytest.mark.asyncio(loop_scope="session")
async def test_onnx_computes_the_same(folder: Path) -> None:
    model = folder / "bert"
    if not model.exists():
        embed_models.build("bert", folder)
    export(model)
    items = [Input(text="water boils"), Input(text="hello world " * 5)]
    async with (
        running(SentenceTransformersEngine, str(model)) as torch_subject,
        running(SentenceTransformersEngine, str(model), backend="onnx") as onnx_subject,
    ):
        by_torch, _ = await ask(torch_subject, items)
        by_onnx, _ = await ask(onnx_subject, items)
        assert np.allclose(by_torch.rows, by_onnx.rows, atol=1e-5)


@pytest.mark.asyncio(loop_scope="session")
async def test_prompts_and_lengths_of_the_configuration(folder: Path) -> None:
    model = folder / "bert"
    if not model.exists():
        embed_models.build("bert", folder)
    arguments = {
        "prompts": {"ask": "question: "},
        "default_prompt_name": "ask",
        "matryoshka_dimensions": [8, 16],
        "max_context_tokens": 20,
    }
    async with running(SentenceTransformersEngine, str(model), **arguments) as subject:
        details = subject.details
        assert (details.matryoshka_dimensions, details.max_context_tokens) == ((8, 16), 20)
        assert (details.prompts["ask"], details.default_prompt_name) == ("question: ", "ask")
        default, _ = await ask(subject, [Input(text="water")])
        written, _ = await ask(subject, [Input(text="question: water")], prompt="")
        assert np.allclose(default.rows, written.rows, atol=1e-5)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_query_is_computed_once_by_a_model_of_vectors(folder: Path) -> None:
    model = folder / "bert"
    if not model.exists():
        embed_models.build("bert", folder)
    async with running(SentenceTransformersEngine, str(model), task="rerank") as subject:
        pairs = [Pair(Input(text="water boils"), Input(text=text)) for text in ("water", "hello", "water boils")]
        computed, together = await ask(subject, pairs)
        _, one = await ask(subject, pairs[:1])
        assert abs(computed.rows[2, 0] - 1) < 1e-5
        assert together < 3 * one + 2


@pytest.mark.parametrize(
    ("model", "arguments", "key"),
    [
        ("/no/such/folder", {}, "model"),
        ("hub/model", {"dtyp": "float32"}, "engine_args.dtyp"),
        ("hub/model", {"device": "cuda"}, "engine_args.device"),
        ("hub/model", {"max_batch_tokens": 0}, "engine_args.max_batch_tokens"),
        ("hub/model", {"backend": "onnx"}, "engine_args.onnx_file"),
        ("hub/model", {"chat_template": "no such file"}, "engine_args.chat_template"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_loaded(model: str, arguments: Any, key: str) -> None:
    (problem,) = SentenceTransformersEngine.check(EngineConfig(model, engine_args=arguments))
    assert problem.key == key
    assert problem.message
