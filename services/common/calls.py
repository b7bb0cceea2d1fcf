"""The calls that run in this process: who they are, and how all of them are ended."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from gpt_server.services.common.changes import Changes


@dataclass(slots=True, eq=False)
class Call:
    """One call.

    Attributes:
        request_id: the caller's, or one that was made.
        method: service and method, without the package.
        timeout: runs out at the default deadline; by it, too, the call is ended early.
        model: key of its model, as soon as that is known.
        trace_id: of its trace; empty if there is none.
        key_name: name of the caller's token; empty without one.
        ended_by: why it was ended early.
    """

    request_id: str
    method: str
    timeout: asyncio.Timeout
    model: str = ""
    trace_id: str = ""
    key_name: str = ""
    ended_by: str = ""

    def end(self, why: str) -> None:
        """Makes the call fail as `EngineUnavailable`, wherever it stands."""
        if not self.timeout.expired():
            self.ended_by = why
            self.timeout.reschedule(asyncio.get_running_loop().time())


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call that the current task answers."""


class Calls:
    """All calls in flight, the exempt ones (health, reflection, Watch) excepted. Belongs to one event loop."""

    def __init__(self) -> None:
        self.changes = Changes()
        self._running: set[Call] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def running(self, call: Call) -> Iterator[None]:
        """Counts a call while it runs."""
        self._running.add(call)
        try:
            yield
        finally:
            self._running.discard(call)
            self.changes.notify()

    async def idle(self) -> None:
        """Returns when no call runs."""
        await self.changes.until(lambda: not self._running)

    def end(self, why: str) -> None:
        """Makes every call that runs fail as `EngineUnavailable`."""
        for call in self._running:
            call.end(why)
