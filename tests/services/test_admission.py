"""Slots and queue: never more than allowed, nothing leaked, order kept, at random and in the small."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from gpt_server.services.common.admission import Admission, Ticket
from gpt_server.services.common.errors import Overloaded


async def granted(ticket: Ticket) -> bool:
    """Whether a ticket has its slot already."""
    waiting = asyncio.ensure_future(ticket.slot())
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


async def test_a_free_slot_is_taken_at_once() -> None:
    admission = Admission(max_running=1, max_queued=0)
    with admission.enter() as ticket:
        await ticket.slot()
        assert (admission.running, admission.queued) == (1, 0)
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    admission = Admission(max_running=1, max_queued=1)
    with admission.enter(), admission.enter():
        with pytest.raises(Overloaded, match="1 requests running, 1 waiting") as refused:
            admission.enter()
        assert 1 <= refused.value.retry_after_s <= 60
    with admission.enter():
        assert admission.running == 1


async def test_retry_delay_follows_how_long_slots_were_held(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    admission = Admission(max_running=2, max_queued=0)
    with admission.enter():
        now = 24.0
    with admission.enter(), admission.enter(), pytest.raises(Overloaded) as refused:
        admission.enter()
    assert refused.value.retry_after_s == pytest.approx(12)
    with admission.enter():
        now = 10_000.0
    with admission.enter(weight=2), pytest.raises(Overloaded) as refused:
        admission.enter()
    assert refused.value.retry_after_s == 60


async def test_lower_priority_goes_first_then_order_of_arrival() -> None:
    admission = Admission(max_running=1, max_queued=9)
    holder = admission.enter()
    waiting = {name: admission.enter(priority=priority) for name, priority in (("b", 1), ("c", 1), ("a", 0))}
    order = []
    leaving = holder
    for _ in waiting:
        admission.leave(leaving)
        (name,) = [name for name, ticket in waiting.items() if name not in order and await granted(ticket)]
        order.append(name)
        leaving = waiting[name]
    assert order == ["a", "b", "c"]


async def test_the_head_of_the_queue_is_not_overtaken_by_a_lighter_one() -> None:
    admission = Admission(max_running=4, max_queued=9)
    first, second = admission.enter(weight=3), admission.enter(weight=1)
    heavy, light = admission.enter(weight=2), admission.enter(weight=1)
    admission.leave(second)
    assert not await granted(heavy)
    assert not await granted(light)
    admission.leave(first)
    assert await granted(heavy)
    assert await granted(light)


async def test_a_head_that_leaves_lets_the_next_one_in() -> None:
    admission = Admission(max_running=2, max_queued=9)
    with admission.enter():
        heavy, light = admission.enter(weight=2), admission.enter()
        admission.leave(heavy)
        assert await granted(light)


@pytest.mark.parametrize("weight", [0, 3])
async def test_a_weight_that_can_never_fit_is_a_mistake(weight: int) -> None:
    with pytest.raises(ValueError, match="not in 1 to 2"):
        Admission(max_running=2, max_queued=9).enter(weight=weight)


class Crowd:
    """Requests that come, wait, compute and go at random, and are cancelled at random; every step is checked."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.admission = Admission(self.random.randint(1, 6), self.random.randint(0, 8))
        self.computing: list[int] = []
        self.seen: Counter[str] = Counter()

    async def run(self) -> None:
        """Lets 40 requests live."""
        tasks = [asyncio.create_task(self.request()) for _ in range(40)]
        while running := [task for task in tasks if not task.done()]:
            if self.random.random() < 0.1:
                self.random.choice(running).cancel()
            self.check()
            await asyncio.sleep(0)
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def request(self) -> None:
        """One request's life."""
        weight = self.random.randint(1, self.admission.max_running)
        await self.pause()
        try:
            ticket = self.admission.enter(weight, priority=self.random.randint(0, 2))
        except Overloaded:
            assert self.admission.queued == self.admission.max_queued
            self.seen["refused"] += 1
            return
        with ticket:
            await self.pause()
            self.seen["waited" if ticket.granted_s is None else "at once"] += 1
            await ticket.slot()
            await self.compute(weight)

    async def compute(self, weight: int) -> None:
        """Holds a slot for a while."""
        self.computing.append(weight)
        try:
            self.check()
            await self.pause()
        except asyncio.CancelledError:
            self.seen["cancelled in a slot"] += 1
            raise
        finally:
            self.computing.remove(weight)

    async def pause(self) -> None:
        """Gives the others a few turns."""
        for _ in range(self.random.randint(0, 5)):
            await asyncio.sleep(0)

    def check(self) -> None:
        """What must always hold."""
        assert sum(self.computing) <= self.admission.max_running
        assert self.admission.queued <= self.admission.max_queued


async def test_random_crowds_break_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    def grant_in_order(ticket: Ticket) -> None:
        assert all(ticket.order < waiting.order for waiting in ticket._admission._queue)
        grant(ticket)

    grant = Ticket.grant
    monkeypatch.setattr(Ticket, "grant", grant_in_order)
    seen: Counter[str] = Counter()
    for seed in range(60):
        crowd = Crowd(seed)
        await crowd.run()
        assert (crowd.admission.running, crowd.admission.queued, crowd.admission._used) == (0, 0, 0)
        seen += crowd.seen
    assert min(seen[what] for what in ("refused", "waited", "at once", "cancelled in a slot")) > 20
