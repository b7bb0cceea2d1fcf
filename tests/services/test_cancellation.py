"""A caller who leaves frees the slot and stops the engine: queued, in prefill, in decode, and before all of them."""

import asyncio

import pytest

from tests.services.asking import Stub, ask, rest
from tests.support.service import RunningService

LIMIT_S = 10.0  # only so that a failure ends


async def test_cancelled_in_the_queue(service: RunningService, llm: Stub) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    engine.gates["prefill"].shut()
    running = llm.Generate(ask(sampling={"n": 2}))
    await running.read()
    await engine.gates["prefill"].reached.wait()
    queued = llm.Generate(ask())
    await queued.read()
    assert (admission.running, admission.queued) == (1, 1)
    queued.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.queued == 0)
    assert (admission.running, engine.running()) == (1, 2)
    engine.gates["prefill"].open()
    assert (await rest(running))[-1].HasField("finished")


@pytest.mark.parametrize("phase", ["prepare", "prefill", "decode"])
async def test_cancelled_before_or_in_the_engine(service: RunningService, llm: Stub, phase: str) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    engine.gates[phase].shut()
    call = llm.Generate(ask(tokens=100))
    await asyncio.wait_for(engine.gates[phase].reached.wait(), LIMIT_S)
    assert admission.running == 1
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps == 0


async def test_cancelled_between_tokens_costs_no_further_step(service: RunningService, llm: Stub) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    call = llm.Generate(ask(tokens=4000))
    await call.read()
    await call.read()
    engine.gates["decode"].shut()
    await asyncio.wait_for(engine.gates["decode"].reached.wait(), LIMIT_S)
    steps = engine.steps
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps == steps < 4000


async def test_cancelled_while_the_caller_reads_nothing(service: RunningService, llm: Stub) -> None:
    """Flow control lets no more than a few of the messages through; the server is held in a write."""
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    call = llm.Generate(ask(reply=("x" * 50_000 + " ") * 100))
    await call.read()
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps < 100


async def test_a_deadline_of_the_caller_frees_the_slot_too(service: RunningService, llm: Stub) -> None:
    engine, admission = service.engines["fake-chat"], service.admissions["fake-chat"]
    engine.gates["decode"].shut()
    call = llm.Generate(ask(), timeout=0.2)
    await call.read()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert (await call.code()).name == "DEADLINE_EXCEEDED"
