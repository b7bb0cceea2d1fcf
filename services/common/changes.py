"""Waiting for something to change, without polling: one broadcast, any number of waiters."""

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes everyone who waits, at each `notify`. Belongs to one event loop."""

    def __init__(self) -> None:
        self.next = asyncio.Event()
        """Set at the next `notify`. Whoever takes it before looking misses no change."""

    def notify(self) -> None:
        """Tells all who wait now."""
        self.next.set()
        self.next = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns as soon as `condition()` holds; it is asked now and after each `notify`."""
        while not condition():
            await self.next.wait()
