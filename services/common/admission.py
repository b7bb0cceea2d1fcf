"""Who may use an engine now: bounded slots and a bounded queue in front of them.

A request enters, at once or not at all; it waits its turn; it leaves, whatever happened. Lower priority goes
first, then order of arrival; the head of the queue is never overtaken, so a request with many choices is not
starved. Nothing polls.
"""

import asyncio
import time
from bisect import insort
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from gpt_server.services.common.changes import Changes
from gpt_server.services.common.errors import Overloaded


class Ticket:
    """A request's place: in the queue or in a slot. A context; leaving it frees the place."""

    def __init__(self, admission: "Admission", weight: int, order: tuple[int, int]) -> None:
        self.weight = weight
        self.order = order
        self.granted_s: float | None = None
        self._admission = admission
        self._granted = asyncio.Event()

    async def slot(self) -> None:
        """Returns when the request has its slot."""
        await self._granted.wait()

    @property
    def has_slot(self) -> bool:
        """Whether it waits no more."""
        return self._granted.is_set()

    def grant(self) -> None:
        """Gives the slot. Called by `Admission` alone."""
        self.granted_s = time.monotonic()
        self._granted.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.leave(self)


class Admission:
    """Slots and queue of one engine. Belongs to one event loop.

    Args:
        max_running: weight that may hold slots at the same time.
        max_queued: requests that may wait.
    """

    def __init__(self, max_running: int, max_queued: int) -> None:
        self.max_running = max_running
        self.max_queued = max_queued
        self.running = 0
        """Requests that hold a slot."""
        self.changes = Changes()
        """Notified whenever a request enters, gets its slot or leaves."""
        self._used = 0
        self._arrivals = 0
        self._queue: list[Ticket] = []
        self._held_s = 0.0

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    def ahead_of(self, ticket: Ticket) -> int:
        """Returns how many requests go before one that waits: those that run, and those in front of it."""
        return self.running + self._queue.index(ticket)

    async def positions(self, ticket: Ticket) -> AsyncIterator[int]:
        """Yields how many requests go before one that waits, whenever it changes; ends when it has its slot."""
        told = 0
        while not ticket.has_slot:
            changed, ahead = self.changes.next, self.ahead_of(ticket)
            if ahead != told:
                told = ahead
                yield ahead
            await changed.wait()

    def enter(self, weight: int = 1, priority: int = 0) -> Ticket:
        """Takes a request in: `with admission.enter() as ticket: await ticket.slot(); …`.

        Args:
            weight: sequences it computes, 1 to `max_running`.
            priority: lower goes first.

        Raises:
            Overloaded: the queue is full.
        """
        if not 1 <= weight <= self.max_running:
            raise ValueError(f"weight {weight} is not in 1 to {self.max_running}")
        fits = not self._queue and self._used + weight <= self.max_running
        if not fits and self.queued >= self.max_queued:
            raise Overloaded(
                f"the model is at its limits: {self.running} requests running, {self.queued} waiting",
                self._retry_after_s(),
            )
        self._arrivals += 1
        ticket = Ticket(self, weight, (priority, self._arrivals))
        insort(self._queue, ticket, key=lambda waiting: waiting.order)
        self._advance()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Frees what a ticket holds. Called by the ticket's context, once."""
        if ticket.granted_s is None:
            self._queue.remove(ticket)
        else:
            self.running -= 1
            self._used -= ticket.weight
            held_s = time.monotonic() - ticket.granted_s
            self._held_s = 0.8 * self._held_s + 0.2 * held_s if self._held_s else held_s
        self._advance()

    def _advance(self) -> None:
        """Gives slots to the head of the queue for as long as it fits."""
        while self._queue and self._used + self._queue[0].weight <= self.max_running:
            ticket = self._queue.pop(0)
            self._used += ticket.weight
            self.running += 1
            ticket.grant()
        self.changes.notify()

    def _retry_after_s(self) -> float:
        """When a place is likely to be free: a slot's usual time, shared by those that run. 1 to 60 s."""
        return min(60.0, max(1.0, self._held_s / max(1, self.running)))
