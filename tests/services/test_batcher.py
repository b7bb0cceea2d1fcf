"""Dynamic batching: what shares a pass, in which order, and what happens to those who leave or fail."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.embed.batcher import Batcher, Item
from gpt_server.services.embed.engine import Rows

LIMIT_S = 10.0  # only so that a failure ends


@dataclass(frozen=True)
class One:
    """An item whose row is its number."""

    number: int
    tokens: int = 10
    group: Any = ""


class Model:
    """Holds each pass until the test lets it go, and remembers it. Its passes run in the batcher's thread."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.threads: set[str] = set()
        self.fails = False
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Semaphore(0)
        self._go = threading.Semaphore(0)

    def forward(self, items: Sequence[Item]) -> Rows:
        numbers = [item.number for item in items]  # type: ignore[attr-defined]
        self.passes.append(numbers)
        self.threads.add(threading.current_thread().name)
        self._loop.call_soon_threadsafe(self._begun.release)
        assert self._go.acquire(timeout=LIMIT_S)
        if self.fails:
            raise RuntimeError("out of memory")
        return np.array([[number] for number in numbers], dtype=np.float32)

    async def begun(self) -> None:
        """Returns when the next pass has begun."""
        await asyncio.wait_for(self._begun.acquire(), LIMIT_S)

    def go(self, passes: int = 1) -> None:
        """Lets passes end."""
        self._go.release(passes)


@pytest.fixture
async def model() -> Model:
    return Model()


@pytest.fixture
async def make(model: Model) -> Any:
    made: list[Batcher] = []

    def batcher(max_tokens: int = 1000, max_items: int = 100) -> Batcher:
        made.append(Batcher(model.forward, max_tokens, max_items))
        return made[-1]

    yield batcher
    model.go(1000)
    for one in made:
        await one.close()


Make = Callable[..., Batcher]


def start(batcher: Batcher, *items: One, priority: int = 0) -> "asyncio.Task[list[float]]":
    async def run() -> list[float]:
        return [row[0] for row in (await batcher.compute(items, priority)).rows]

    return asyncio.create_task(run())


async def test_an_idle_device_is_used_at_once(model: Model, make: Make) -> None:
    only = start(make(), One(1))
    await model.begun()
    model.go()
    assert await only == [1]
    assert model.threads == {"model_0"}


async def test_what_waits_shares_the_next_pass_and_each_gets_its_own(model: Model, make: Make) -> None:
    batcher = make()
    first = start(batcher, One(0))
    await model.begun()
    others = [start(batcher, One(i), One(10 * i)) for i in (1, 2, 3)]
    await asyncio.sleep(0)
    model.go(2)
    assert await first == [0]
    assert await asyncio.gather(*others) == [[1, 10], [2, 20], [3, 30]]
    assert len(model.passes) == 2
    assert sorted(model.passes[1]) == [1, 2, 3, 10, 20, 30]


async def test_order_is_kept_whatever_the_lengths(model: Model, make: Make) -> None:
    model.go(100)
    items = [One(i, tokens) for i, tokens in enumerate((5, 300, 1, 40, 299, 2))]
    assert await start(make(), *items) == [0, 1, 2, 3, 4, 5]
    assert [5 in found for found in model.passes].count(True) == 1


async def test_passes_are_cut_where_padding_would_cost_more(model: Model, make: Make) -> None:
    model.go(100)
    await start(make(), One(0, 400), One(1, 390), One(2, 10), One(3, 9))
    assert model.passes == [[0, 1], [2, 3]]


async def test_a_turn_keeps_to_its_tokens_and_items(model: Model, make: Make) -> None:
    model.go(100)
    await start(make(max_tokens=50), *[One(i) for i in range(7)])
    assert [len(found) for found in model.passes] == [5, 2]
    model.passes.clear()
    await start(make(max_items=3), *[One(i) for i in range(7)])
    assert [len(found) for found in model.passes] == [3, 3, 1]


async def test_an_item_longer_than_a_turn_runs_alone(model: Model, make: Make) -> None:
    model.go(100)
    assert await start(make(max_tokens=50), One(0, 500), One(1)) == [0, 1]
    assert model.passes == [[0], [1]]


async def test_a_small_request_does_not_wait_for_a_huge_one(model: Model, make: Make) -> None:
    batcher = make(max_items=4)
    huge = start(batcher, *[One(i) for i in range(100)])
    await model.begun()
    small = start(batcher, One(1000))
    await asyncio.sleep(0)
    model.go(2)
    assert await small == [1000]
    assert len(model.passes) <= 3
    assert not huge.done()
    model.go(100)
    assert await huge == list(range(100))


async def test_a_group_does_not_wait_for_another(model: Model, make: Make) -> None:
    batcher = make(max_items=4)
    huge = start(batcher, *[One(i, group="a") for i in range(100)])
    await model.begun()
    small = start(batcher, One(1000, group="b"))
    await asyncio.sleep(0)
    model.go(2)
    assert await small == [1000]
    assert model.passes[1] == [1000]
    model.go(100)
    await huge


async def test_items_without_a_group_run_alone(model: Model, make: Make) -> None:
    model.go(100)
    await start(make(), One(0, group=None), One(1, group=None))
    assert model.passes in ([[0], [1]], [[1], [0]])


async def test_lower_priority_goes_first(model: Model, make: Make) -> None:
    batcher = make(max_items=1)
    first = start(batcher, One(0))
    await model.begun()
    tasks = [start(batcher, One(1)), start(batcher, One(2), priority=-1)]
    await asyncio.sleep(0)
    model.go(3)
    await asyncio.gather(first, *tasks)
    assert model.passes == [[0], [2], [1]]


async def test_who_leaves_is_not_computed(model: Model, make: Make) -> None:
    batcher = make(max_items=2)
    first = start(batcher, One(0))
    await model.begun()
    leaving, staying = start(batcher, One(1), One(2), One(3)), start(batcher, One(4))
    await asyncio.sleep(0)
    assert batcher.waiting == 4
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert batcher.waiting == 1
    model.go(2)
    assert await staying == [4]
    await first
    assert model.passes == [[0], [4]]


async def test_leaving_during_a_pass_does_not_hurt_those_who_share_it(model: Model, make: Make) -> None:
    batcher = make()
    first = start(batcher, One(0))
    await model.begun()
    leaving, staying = start(batcher, One(1)), start(batcher, One(2))
    await asyncio.sleep(0)
    model.go()
    await model.begun()
    leaving.cancel()
    model.go()
    assert await staying == [2]
    await first


async def test_a_failed_pass_fails_its_callers_alone(model: Model, make: Make) -> None:
    batcher = make()
    model.fails = True
    failed = start(batcher, One(0))
    await model.begun()
    model.go()
    with pytest.raises(RuntimeError, match="out of memory"):
        await failed
    model.fails = False
    model.go()
    assert await start(batcher, One(1)) == [1]


async def test_closing_fails_those_who_wait(model: Model) -> None:
    batcher = Batcher(model.forward, 100, 1)
    running, waiting = start(batcher, One(0)), start(batcher, One(1))
    await model.begun()
    await batcher.close()
    model.go(2)
    for task in (running, waiting):
        with pytest.raises(EngineUnavailable):
            await task
