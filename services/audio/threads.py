"""Iterators that block, read from an event loop: one item at a time, computed in a thread when it is asked for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_threads = ThreadPoolExecutor(64, thread_name_prefix="audio")
"""Those who wait for a slow caller hold a thread each; asyncio's own pool has few, and others need them."""
_END: Any = object()


async def in_thread(function: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
    """Returns what a function that blocks returns.

    If the task is cancelled meanwhile, `stop` is called, which makes the function give up, and its end is waited for.
    """
    running = asyncio.get_running_loop().run_in_executor(_threads, function)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        await asyncio.wait([running])
        running.exception()
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
