"""A thread for a library that may be used by one caller at a time, and how many requests are at work on it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")


class LibraryThread:
    """Runs calls one after another, in the order in which they come; several requests take turns."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="library")
        self._calls: set[Future[Any]] = set()
        self._requests = 0

    def running(self) -> int:
        """Returns how many requests are at work: one that was left counts while the library is busy with it."""
        return max(self._requests, sum(not call.done() for call in self._calls))

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request, from its beginning to its end."""
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def run(self, call: Callable[ParamsT, ResultT], *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ResultT:
        """Returns what a call returns. Cancelling takes a call that waits out of the queue; one that runs, runs on."""
        future = self._pool.submit(call, *args, **kwargs)
        self._calls = {one for one in self._calls if not one.done()} | {future}
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Ends the thread after the call that runs now."""
        self._pool.shutdown(wait=False, cancel_futures=True)
