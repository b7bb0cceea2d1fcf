"""Iterators that block, read from an event loop: one item at a time, computed in a thread when it is asked for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(64, thread_name_prefix="audio")
"""Those who wait for a slow caller hold a thread each; asyncio's own pool has few, and others need them."""
_END: Any = object()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns what a function that blocks returns. It is waited for, even if the task is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    running = loop.run_in_executor(_threads, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


async def pulled(items: Generator[T, None, None], stop: Callable[[], None]) -> AsyncGenerator[T, None]:
    """Yields the items of a generator that blocks, and closes it in the end.

    Args:
        items: asked for the next item only when that is wanted here.
        stop: called in the end from another thread than the one that may still wait for an item; makes it give up.
    """
    loop = asyncio.get_running_loop()
    pulling: asyncio.Future[T] | None = None
    try:
        while True:
            pulling = loop.run_in_executor(_threads, next, items, _END)
            item = await asyncio.shield(pulling)
            if item is _END:
                return
            yield item
    finally:
        stop()
        if pulling is not None and not pulling.done():
            await asyncio.wait([pulling])
            pulling.exception()
        await in_thread(items.close)
