"""What every embed engine does: suites over the contract in `services/embed/engine.py`, one for each kind of model.

An engine's test module defines a fixture `subject` and a subclass. What a library cannot do stands in `refuses` and is
asserted as the named refusal.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from gpt_server.services.common.errors import ContextLengthExceeded, ServiceError, UnsupportedFeature
from gpt_server.services.embed import numbers
from gpt_server.services.embed.engine import (
    Computed,
    EmbedEngine,
    EngineConfig,
    Input,
    InputOptions,
    ModelDetails,
    Pair,
    Task,
    TokenizeRequest,
)

TEXTS = ["water boils", "how do I reset my password? " * 3, "x", "hello world, grüße 水", "water boils"]
LONG = "long text " * 700


@dataclass(frozen=True)
class Subject:
    """A running engine and what it said of its model."""

    engine: EmbedEngine
    details: ModelDetails


@asynccontextmanager
async def running(engine_type: type[EmbedEngine], model: str, **engine_args: Any) -> AsyncGenerator[Subject, None]:
    """Runs an engine until the block ends; its configuration is found right."""
    config = EngineConfig(model, engine_args=engine_args)
    assert engine_type.check(config) == []
    engine = engine_type(config)
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()


async def ask(subject: Subject, items: Sequence[Input | Pair], **options: Any) -> tuple[Computed, int]:
    """Returns what an engine computes, and the tokens of the items."""
    prepared = await subject.engine.prepare(
        Task(items, [f"inputs[{i}]" for i in range(len(items))], InputOptions(**options))
    )
    return await subject.engine.compute(prepared), prepared.prompt_tokens


@pytest.mark.asyncio(loop_scope="session")
class EmbedSuite:
    """What holds for vectors, scores and labels alike. `item`: makes an input of a text, as the model takes it."""

    #: Fields that the engine refuses as `UnsupportedFeature`.
    refuses: ClassVar[frozenset[str]] = frozenset()
    #: How far a number may be off in a batch: of the rows' own size.
    tolerance: ClassVar[float] = 1e-4

    def item(self, text: str) -> Input | Pair:
        return Input(text=text)

    async def rows(self, subject: Subject, *texts: str, **options: Any) -> Any:
        return (await ask(subject, [self.item(text) for text in texts], **options))[0].rows

    async def test_alone_and_in_a_batch_are_the_same(self, subject: Subject) -> None:
        together = await self.rows(subject, *TEXTS)
        alone = np.concatenate([await self.rows(subject, text) for text in TEXTS])
        assert together.dtype == np.float32
        assert np.allclose(together, alone, atol=self.tolerance * np.abs(alone).max())
        assert np.allclose(together[0], together[4], atol=self.tolerance * np.abs(alone).max())

    async def test_callers_at_the_same_time_get_their_own(self, subject: Subject) -> None:
        texts = [f"{text} {i}" for i in range(8) for text in TEXTS[:3]]
        alone = [await self.rows(subject, text) for text in texts]
        together = await asyncio.gather(*[self.rows(subject, text) for text in texts])
        for one, other in zip(alone, together, strict=True):
            assert np.allclose(one, other, atol=self.tolerance * np.abs(one).max())

    async def test_order_is_kept(self, subject: Subject) -> None:
        forwards, backwards = await self.rows(subject, *TEXTS), await self.rows(subject, *TEXTS[::-1])
        assert np.allclose(forwards, backwards[::-1], atol=self.tolerance * np.abs(forwards).max())

    async def test_tokens_are_counted(self, subject: Subject) -> None:
        counts = [(await ask(subject, [self.item(text)]))[1] for text in TEXTS]
        computed, total = await ask(subject, [self.item(text) for text in TEXTS])
        assert counts[1] > counts[2] >= 1
        assert total <= sum(counts)
        assert computed.timings.queue_s >= 0
        assert computed.timings.compute_s > 0

    async def test_too_long_is_an_error_that_names_the_input(self, subject: Subject) -> None:
        with pytest.raises(ContextLengthExceeded) as refusal:
            await self.rows(subject, "short", LONG)
        assert refusal.value.field == "inputs[1]"
        assert str(subject.details.max_context_tokens) in str(refusal.value)

    async def test_too_long_is_cut_if_asked(self, subject: Subject) -> None:
        if "options.truncate_prompt_tokens" in self.refuses:
            with pytest.raises(UnsupportedFeature, match="truncate"):
                await self.rows(subject, LONG, truncate_prompt_tokens=-1)
            return
        cut = await self.rows(subject, LONG, truncate_prompt_tokens=-1)
        assert np.isfinite(cut).all()
        again = await self.rows(subject, LONG + " other end", truncate_prompt_tokens=-1)
        assert np.allclose(cut, again, atol=self.tolerance * np.abs(cut).max())

    async def test_a_cancelled_caller_hurts_nobody(self, subject: Subject) -> None:
        expected = await self.rows(subject, TEXTS[0])
        tasks = [asyncio.create_task(self.rows(subject, *TEXTS)) for _ in range(6)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False] * 3
        assert np.allclose(await self.rows(subject, TEXTS[0]), expected, atol=self.tolerance * np.abs(expected).max())

    async def test_tokenize_is_what_is_counted(self, subject: Subject) -> None:
        tokens = await subject.engine.tokenize(TokenizeRequest("m", "water boils", return_token_strings=True))
        assert len(tokens.token_ids) == len(tokens.token_strings) >= 1
        less = await subject.engine.tokenize(TokenizeRequest("m", "water boils", add_special_tokens=False))
        assert len(less.token_ids) <= len(tokens.token_ids)


class EmbeddingSuite(EmbedSuite):
    """Models that make vectors."""

    async def test_vectors_have_the_dimensions_that_it_says(self, subject: Subject) -> None:
        rows = await self.rows(subject, *TEXTS)
        assert rows.shape == (5, subject.details.dimensions)
        unit = numbers.vectors(rows, None, True)
        assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
        assert unit[0] @ unit[4] >= 0.9999
        assert unit[0] @ unit[1] < 0.9999

    async def test_prompts_stand_before_the_text(self, subject: Subject) -> None:
        prompted = await self.rows(subject, "water boils", prompt="query: ")
        written = await self.rows(subject, "query: water boils", prompt="")
        assert np.allclose(prompted, written, atol=self.tolerance * np.abs(written).max())

    async def test_token_ids_are_taken_as_they_are(self, subject: Subject) -> None:
        tokens = await subject.engine.tokenize(TokenizeRequest("m", "water boils"))
        item = Input(token_ids=tokens.token_ids)
        if "token_ids" in self.refuses:
            with pytest.raises(UnsupportedFeature):
                await ask(subject, [item])
            return
        computed, count = await ask(subject, [item])
        assert count == len(tokens.token_ids)
        plain = await self.rows(subject, "water boils", prompt="")
        assert np.allclose(computed.rows, plain, atol=self.tolerance * np.abs(plain).max())
        with pytest.raises(ServiceError):
            await ask(subject, [Input(token_ids=[10**6])])


class RerankSuite(EmbedSuite):
    """Models that score pairs."""

    def item(self, text: str) -> Pair:
        return Pair(Input(text="reset password"), Input(text=text))

    async def test_one_number_for_each_pair(self, subject: Subject) -> None:
        rows = await self.rows(subject, *TEXTS)
        assert rows.shape == (5, 1)
        scores = numbers.activated(rows, subject.details.activation, raw=False)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert (np.argsort(scores[:, 0], kind="stable") == np.argsort(rows[:, 0], kind="stable")).all()


class ClassificationSuite(EmbedSuite):
    """Models that score labels."""

    async def test_one_number_for_each_label(self, subject: Subject) -> None:
        rows = await self.rows(subject, *TEXTS)
        assert rows.shape == (5, len(subject.details.labels))
        scores = numbers.activated(rows, subject.details.activation, raw=False)
        assert ((scores >= 0) & (scores <= 1)).all()
        if subject.details.activation == "softmax":
            assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
