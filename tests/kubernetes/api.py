"""Kubernetes' API, as far as tests ask it."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

LIMIT_S = 240.0  # only so that a failure ends
Things = Sequence[Mapping[str, Any]]


def holds(condition: str, thing: Mapping[str, Any]) -> bool:
    """Whether a thing's status says that a condition is true."""
    conditions = thing.get("status", {}).get("conditions") or ()
    return any((one["type"], one["status"]) == (condition, "True") for one in conditions)


class Api:
    """A server, and the token for it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str) -> Any:
        """Returns a document. It must be there."""
        status, document = await self.ask("GET", path)
        assert status == 200, document
        return document

    async def text(self, path: str) -> str:
        """Returns what is no JSON."""
        async with self._open().get(self.url + path, ssl=False) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def post(self, path: str, body: Any) -> Any:
        """Makes something. It must be taken."""
        status, document = await self.ask("POST", path, body)
        assert status in (200, 201), document
        return document

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Returns status and document of an answer."""
        async with self._open().request(method, self.url + path, json=body, ssl=False) as answer:
            return answer.status, await answer.json()

    async def until(self, path: str, condition: Callable[[Things], bool]) -> Things:
        """Waits for the things of a list to be as wanted; returns them."""
        async with asyncio.timeout(LIMIT_S):
            listed = await self.get(path)
            things = {one["metadata"]["uid"]: one for one in listed["items"]}
            version = listed["metadata"]["resourceVersion"]
            mark = "&" if "?" in path else "?"
            watch = f"{self.url}{path}{mark}watch=1&resourceVersion={version}"
            async with self._open().get(watch, ssl=False) as events:
                while not condition([*things.values()]):
                    event = json.loads(await events.content.readline())
                    thing = event["object"]
                    if event["type"] == "DELETED":
                        del things[thing["metadata"]["uid"]]
                    else:
                        things[thing["metadata"]["uid"]] = thing
            return [*things.values()]

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=LIMIT_S)
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, read_bufsize=2**22)
        return self._session
