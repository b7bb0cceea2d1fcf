"""Requests that go on until told to stop, and what became of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

CHAT = {"messages": [{"role": "user", "content": "hello there"}]}
SLOW = {"chat_template_kwargs": {"fake": {"tokens": 10, "token_s": 0.02}}}
CHATS = ("/v1/chat/completions", {"model": "chat", **CHAT, **SLOW})
STREAMS = ("/v1/chat/completions", {"model": "chat", "stream": True, **CHAT, **SLOW})
VECTORS = ("/v1/embeddings", {"model": "embed", "input": ["one", "two"]})


@dataclass
class Tally:
    """Requests that were answered whole, and what was wrong with the others."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def more(self, requests: int = 20) -> None:
        """Returns when so many more requests have ended."""
        async with asyncio.timeout(120), self.changed:
            goal = self.answered + len(self.failures) + requests
            await self.changed.wait_for(lambda: self.answered + len(self.failures) >= goal)


async def ask(session: aiohttp.ClientSession, path: str, body: Mapping[str, Any]) -> str:
    """Sends one request; returns what was wrong with the answer and the path, or nothing."""
    try:
        async with session.post(path, json=body) as answer:
            text = await answer.text()
    except aiohttp.ClientError as error:
        return f"{path} {error!r}"
    whole = text.endswith("data: [DONE]\n\n") if body.get("stream") else answer.status == 200
    return "" if answer.status == 200 and whole else f"{path} {answer.status} {json.dumps(text[-300:])}"


@asynccontextmanager
async def load(
    url: str, requests: int = 2, kinds: Sequence[tuple[str, Mapping[str, Any]]] = (CHATS, STREAMS, VECTORS)
) -> AsyncIterator[Tally]:
    """Keeps so many requests of each kind running, each on a connection of its own, while the context is open."""
    tally = Tally()
    stopping = asyncio.Event()
    connector = aiohttp.TCPConnector(force_close=True, limit=0)

    async def go_on(session: aiohttp.ClientSession, path: str, body: Mapping[str, Any]) -> None:
        while not stopping.is_set():
            wrong = await ask(session, path, body)
            async with tally.changed:
                if wrong:
                    tally.failures.append(wrong)
                else:
                    tally.answered += 1
                tally.changed.notify_all()

    async with aiohttp.ClientSession(url, connector=connector) as session, asyncio.TaskGroup() as group:
        for path, body in [*kinds] * requests:
            group.create_task(go_on(session, path, body))
        try:
            yield tally
        finally:
            stopping.set()
