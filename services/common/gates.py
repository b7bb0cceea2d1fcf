"""Points at which the fake engines can be held, so that a test sees a request in the middle of its life."""

import asyncio


class Gate:
    """A point that every request passes, at once unless a test has shut it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        """Set when a request stands before the shut gate."""
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        """Stops those who come from now on."""
        self._open.clear()

    def open(self) -> None:
        """Lets all pass."""
        self.reached.clear()
        self._open.set()

    async def passed(self) -> None:
        """Returns when the gate is open."""
        if not self._open.is_set():
            self.reached.set()
            await self._open.wait()
