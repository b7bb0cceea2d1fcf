"""Several sources of replicas as one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

from gpt_server.edge.discovery.base import Discovery, Snapshot

log = logging.getLogger(__name__)


class MergedDiscovery(Discovery):
    """All that any of `sources` knows, from when each of them has spoken."""

    def __init__(self, sources: Sequence[Discovery]) -> None:
        self._sources = sources

    async def watch(self) -> AsyncIterator[Snapshot]:
        """Yields the union, as soon as every source has said something, and whenever one says something new."""
        told: dict[Discovery, Snapshot] = {}
        news: asyncio.Queue[tuple[Discovery, Snapshot]] = asyncio.Queue()
        following = [asyncio.create_task(_follow(source, news)) for source in self._sources]
        try:
            while True:
                source, snapshot = await news.get()
                told[source] = snapshot
                if len(told) == len(self._sources):
                    yield Snapshot(
                        frozenset().union(*(one.addresses for one in told.values())),
                        frozenset().union(*(one.expected_models for one in told.values())),
                    )
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


async def _follow(source: Discovery, news: asyncio.Queue[tuple[Discovery, Snapshot]]) -> None:
    try:
        async for snapshot in source.watch():
            news.put_nowait((source, snapshot))
    except Exception:
        log.exception("a source of replicas has failed; what it said last stays")
