"""How the hf engine shares its model: order, fairness, aborts within two steps, failures that reach only their own."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
import torch

from gpt_server.services.common.errors import EngineUnavailable, Overloaded
from gpt_server.services.llm.engine import GenerateRequest, Output
from tests.engines.asking import Subject, ask, busy, greedy, idle, request
from tests.engines.hf_model import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNK = 16
BROKEN = RuntimeError("broken kernel")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject() -> AsyncGenerator[Subject, None]:
    async with running(max_running=2, prefill_chunk_tokens=CHUNK) as started:
        yield started


@contextmanager
def steps(subject: Subject, fail: Exception | None = None, prefill: bool = False) -> Iterator[list[tuple[int, int]]]:
    """Collects rows and tokens of every forward step. `fail`: steps of decoding fail with it, or those of prefill."""
    seen: list[tuple[int, int]] = []

    def before(module: torch.nn.Module, args: Any, inputs: dict[str, Any]) -> None:
        rows, tokens = inputs["input_ids"].shape
        seen.append((rows, tokens))
        if fail is not None and (tokens > 1) == prefill:
            raise fail

    hook = subject.engine._model.model.register_forward_pre_hook(before, with_kwargs=True)  # type: ignore[attr-defined]
    try:
        yield seen
    finally:
        hook.remove()


def endless(**fields: object) -> GenerateRequest:
    return request(sampling=greedy(3000, ignore_eos=True), **fields)  # type: ignore[arg-type]


def long_prompt(chunks: int) -> list[int]:
    return [5 + at % 50 for at in range(chunks * CHUNK)]


async def start(subject: Subject, wanted: GenerateRequest) -> AsyncGenerator[Output, None]:
    """Returns the stream of a request that has sampled its first token."""
    stream = subject.engine.generate(await subject.engine.prepare(wanted))
    await anext(stream)
    return stream


async def drain(stream: AsyncGenerator[Output, None]) -> None:
    async for _ in stream:
        pass


async def test_a_long_prompt_is_computed_in_chunks_between_the_steps_of_others(subject: Subject) -> None:
    stream = await start(subject, endless())
    with steps(subject) as seen:
        await ask(subject.engine, request(token_ids=long_prompt(12), sampling=greedy(1)))
        await stream.aclose()
    chunks = [at for at, shape in enumerate(seen) if shape == (1, CHUNK)]
    assert len(chunks) == 12
    assert all(seen[at + 1] == (1, 1) for at in chunks[:-1])


async def test_prompts_of_several_choices_are_computed_once(subject: Subject) -> None:
    await idle(subject.engine)
    with steps(subject) as seen:
        await ask(subject.engine, request(token_ids=long_prompt(1), sampling=greedy(4, n=2, ignore_eos=True)))
    assert seen == [(1, CHUNK), (2, 1), (2, 1), (2, 1)]


async def test_rows_join_and_leave_while_others_run(subject: Subject) -> None:
    stream = await start(subject, endless())
    with steps(subject) as seen:
        await ask(subject.engine, request(sampling=greedy(5, ignore_eos=True)))
        await anext(stream)
        await stream.aclose()
    assert sum(shape == (2, 1) for shape in seen) == 4


async def test_what_accumulates_comes_as_one_output(subject: Subject) -> None:
    wanted = request(sampling=greedy(20, ignore_eos=True))
    stream = await start(subject, wanted)
    await ask(subject.engine, wanted)
    output = await anext(stream)
    assert output.finished is not None
    assert len(output.deltas) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_the_queue_is_in_order_of_priority(subject: Subject) -> None:
    streams = [await start(subject, endless()) for _ in range(2)]
    done: list[str] = []

    async def later(name: str, priority: int | None) -> None:
        await ask(subject.engine, request(sampling=greedy(2), priority=priority))
        done.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, priority in (("first", None), ("second", 0), ("urgent", -1), ("last", 5)):
            tasks.create_task(later(name, priority))
            await anext(streams[0])
        assert done == []
        await streams[1].aclose()
    assert done == ["urgent", "first", "second", "last"]
    await streams[0].aclose()


async def test_an_error_of_the_device_ends_the_engine_at_once() -> None:
    async with running() as subject:
        with steps(subject, torch.AcceleratorError("device-side assert"), prefill=True):
            with pytest.raises((RuntimeError, EngineUnavailable)):
                await ask(subject.engine, request())
            await subject.engine.died.wait()


@pytest.mark.parametrize("phase", ["queued", "prefill", "decode"])
async def test_an_abort_takes_at_most_two_steps(subject: Subject, phase: str) -> None:
    await idle(subject.engine)
    others = [await start(subject, endless()) for _ in range(2 if phase == "queued" else 0)]
    with steps(subject) as seen:
        stream = subject.engine.generate(
            await subject.engine.prepare(endless(token_ids=long_prompt(2 if phase == "decode" else 50)))
        )
        first = asyncio.ensure_future(anext(stream))
        await busy(subject.engine, 2 if phase == "queued" else 1)
        if phase == "decode":
            await first
        assert first.done() == (phase == "decode")
        first.cancel()
        await asyncio.wait([first])
        await stream.aclose()
        before = len(seen)
        for other in others:
            await other.aclose()
        await idle(subject.engine)
        assert len(seen) - before <= 2
        assert phase != "queued" or (1, CHUNK) not in seen


async def test_a_failed_prefill_fails_its_request_alone(subject: Subject) -> None:
    stream = await start(subject, endless())
    with steps(subject, BROKEN, prefill=True), pytest.raises(RuntimeError, match="has failed"):
        await ask(subject.engine, request())
    assert (await anext(stream)).finished is None
    await stream.aclose()


async def test_a_prompt_without_memory_is_refused_alone(subject: Subject) -> None:
    stream = await start(subject, endless())
    with steps(subject, torch.OutOfMemoryError("CUDA out of memory"), prefill=True), pytest.raises(Overloaded):
        await ask(subject.engine, request())
    assert (await anext(stream)).finished is None
    await stream.aclose()
    assert (await ask(subject.engine, request())).text()


async def test_a_failed_step_fails_those_in_it_and_no_others(subject: Subject) -> None:
    stream = await start(subject, endless())
    with steps(subject, BROKEN), pytest.raises(RuntimeError, match="has failed"):
        await drain(stream)
    await idle(subject.engine)
    assert (await ask(subject.engine, request())).text()
    assert not subject.engine.died.is_set()


async def test_the_engine_dies_clearly_when_steps_keep_failing() -> None:
    async with running(max_running=1) as subject:
        engine = subject.engine
        waiting = [asyncio.ensure_future(ask(engine, endless())) for _ in range(6)]
        await busy(engine)
        with steps(subject, BROKEN):
            done, _ = await asyncio.wait(waiting)
        assert engine.died.is_set()
        kinds = [type(task.exception()) for task in done]
        # The third failure in a row is the last; whoever is left may be answered elsewhere.
        assert kinds.count(RuntimeError) == 2
        assert kinds.count(EngineUnavailable) == 4
        with pytest.raises(EngineUnavailable):
            await ask(engine, request())


async def test_closing_ends_what_runs() -> None:
    async with running() as subject:
        stream = await start(subject, endless())
    with pytest.raises(EngineUnavailable):
        await drain(stream)
    with pytest.raises(EngineUnavailable):
        await ask(subject.engine, request())
