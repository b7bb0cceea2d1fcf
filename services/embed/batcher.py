"""Dynamic batching: inputs of different callers share forward passes, for engines whose library has none of its own.

While the device is busy, requests wait; when it is free, the next turn takes what waits, at once, and never waits for
more. A turn takes one input of each request after the other until it is full, so a request with one input is in the
very next turn, however many a huge one still has. The inputs of a turn are then sorted by length and cut where
padding would cost more than another pass. The passes run in a thread of their own, one after another.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.embed import metrics
from gpt_server.services.embed.engine import Computed, Rows, Timings

PASS_COST_TOKENS = 128
"""What starting a pass costs, as tokens of padding: a batch is cut where padding would be more."""


class Item(Protocol):
    """An input as the model takes it."""

    @property
    def tokens(self) -> int:
        """Its length."""

    @property
    def group(self) -> Hashable:
        """Only items of equal groups can share a pass; `None`: it runs alone."""


@dataclass(slots=True, eq=False)
class _Request:
    """A caller's items: those that still wait, by place, longest last; and the rows that are there.

    `turn`: the last one that it had an item in.
    """

    items: Sequence[Item]
    priority: int
    arrival: int
    arrived_s: float
    done: "asyncio.Future[None]"
    waiting: list[int]
    rows: list[Rows | None]
    left: int
    turn: int = 0
    began_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """One item of one request."""

    request: _Request
    number: int

    @property
    def item(self) -> Item:
        return self.request.items[self.number]


class Batcher:
    """The queue before a model, and the thread that runs it. Belongs to one event loop.

    Args:
        forward: computes a row for each of some items, in order; runs in the thread.
        max_tokens: tokens in a turn, padding not counted; a longer item runs alone.
        max_items: items in a turn.
    """

    def __init__(self, forward: Callable[[Sequence[Item]], Rows], max_tokens: int, max_items: int) -> None:
        self._forward = forward
        self._max_tokens = max_tokens
        self._max_items = max_items
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._requests: list[_Request] = []
        self._arrivals = 0
        self._turn_number = 0
        self._more = asyncio.Event()
        self._turns = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Fails all that waits, and ends the thread after the pass that it is in."""
        self._turns.cancel()
        with suppress(asyncio.CancelledError):
            await self._turns
        for request in self._requests:
            request.done.set_exception(EngineUnavailable("the model has been unloaded"))
        self._requests.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Items that are in no pass yet."""
        return sum(len(request.waiting) for request in self._requests)

    async def compute(self, items: Sequence[Item], priority: int = 0) -> Computed:
        """Returns a row for each item. Cancelled, it takes those that wait out of the queue at once.

        Raises:
            EngineUnavailable: the batcher is closed.
            Exception: of any kind, from `forward`.
        """
        self._arrivals += 1
        request = _Request(
            items=items,
            priority=priority,
            arrival=self._arrivals,
            arrived_s=time.monotonic(),
            done=asyncio.get_running_loop().create_future(),
            waiting=sorted(range(len(items)), key=lambda number: items[number].tokens),
            rows=[None] * len(items),
            left=len(items),
        )
        self._requests.append(request)
        self._more.set()
        try:
            await request.done
        finally:
            request.waiting.clear()
            with suppress(ValueError):
                self._requests.remove(request)
        began_s = request.began_s or request.arrived_s
        timings = Timings(queue_s=began_s - request.arrived_s, compute_s=time.monotonic() - began_s)
        return Computed(np.concatenate([row for row in request.rows if row is not None]), timings)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._more.wait()
            for places in passes(self._turn()):
                # Who left since the turn was made is not computed.
                present = [place for place in places if not place.request.done.done()]
                if not present:
                    continue
                now_s = time.monotonic()
                for place in present:
                    place.request.began_s = place.request.began_s or now_s
                try:
                    rows = await loop.run_in_executor(self._thread, self._forward, [place.item for place in present])
                except Exception as error:
                    _fail(present, error)
                else:
                    metrics.PASSES.inc()
                    _deliver(present, rows)

    def _turn(self) -> list[_Place]:
        """Takes the items of the next turn out of the queue: of each request one, then of each one more, …

        Whose last turn is longest ago goes first; so no group of items, and no request, waits for another's end.
        """
        taken: list[_Place] = []
        room = self._max_tokens
        self._turn_number += 1
        hungry = sorted(
            (request for request in self._requests if request.waiting),
            key=lambda one: (one.priority, one.turn, one.arrival),
        )
        while hungry and len(taken) < self._max_items:
            still: list[_Request] = []
            for request in hungry:
                place = _Place(request, request.waiting[-1])
                fits = not taken or (place.item.tokens <= room and place.item.group == taken[0].item.group)
                if not fits or len(taken) == self._max_items:
                    continue
                taken.append(_Place(request, request.waiting.pop()))
                room -= place.item.tokens
                request.turn = self._turn_number
                if place.item.group is None:
                    return taken
                if request.waiting:
                    still.append(request)
            hungry = still
        if not any(request.waiting for request in self._requests):
            self._more.clear()
        return taken


def passes(places: Sequence[_Place]) -> list[list[_Place]]:
    """Cuts a turn into passes of items of similar length, longest first."""
    found: list[list[_Place]] = []
    padding = 0
    for place in sorted(places, key=lambda one: one.item.tokens, reverse=True):
        padding += found[-1][0].item.tokens - place.item.tokens if found else 0
        if not found or padding > PASS_COST_TOKENS:
            found.append([])
            padding = 0
        found[-1].append(place)
    return found


def _fail(places: Sequence[_Place], error: Exception) -> None:
    for place in places:
        if not place.request.done.done():
            place.request.done.set_exception(error)
            place.request.waiting.clear()


def _deliver(places: Sequence[_Place], rows: Rows) -> None:
    for number, place in enumerate(places):
        request = place.request
        request.rows[place.number] = rows[number : number + 1]
        request.left -= 1
        if not request.left and not request.done.done():
            request.done.set_result(None)
