"""Several sources of replicas as one; tests/cluster has those of Consul."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gpt_server.edge.discovery.base import Discovery, Snapshot
from gpt_server.edge.discovery.merged import MergedDiscovery

LIMIT_S = 20.0  # only so that a failure ends


def snapshot(*addresses: str, expected: str = "") -> Snapshot:
    return Snapshot(frozenset(addresses), frozenset(filter(None, [expected])))


class Source(Discovery):
    """Says what a test puts into it; `None`: it fails."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Snapshot | None] = asyncio.Queue()

    async def watch(self) -> AsyncIterator[Snapshot]:
        while (said := await self.says.get()) is not None:
            yield said
        raise RuntimeError("out of order")


async def test_union_of_what_all_sources_say(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Source(), Source()
    watch = aiter(MergedDiscovery([first, second]).watch())
    first.says.put_nowait(snapshot("a:1", expected="m"))
    asked = asyncio.ensure_future(anext(watch))
    while not first.says.empty():
        await asyncio.sleep(0)
    assert not asked.done()  # one of them has not spoken
    second.says.put_nowait(snapshot("b:1", "a:1"))
    assert await asyncio.wait_for(asked, LIMIT_S) == snapshot("a:1", "b:1", expected="m")
    second.says.put_nowait(snapshot())
    assert await asyncio.wait_for(anext(watch), LIMIT_S) == snapshot("a:1", expected="m")
    first.says.put_nowait(None)
    second.says.put_nowait(snapshot("c:1"))
    assert await asyncio.wait_for(anext(watch), LIMIT_S) == snapshot("a:1", "c:1", expected="m")
    assert "a source of replicas has failed" in caplog.text
    await watch.aclose()  # type: ignore[attr-defined]
