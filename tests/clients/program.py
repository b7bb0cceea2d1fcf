"""The clients, and the conversation with their programs."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.environments import command

PRICES = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""For the environment of programs: LiteLLM would else ask another host for a table of prices."""
LIMIT_S = 120.0  # only so that a failure ends
LONGEST_LINE_BYTES = 1 << 22  # a reply may hold a sound or a picture


@dataclass(frozen=True, slots=True)
class Client:
    """A client library.

    Attributes:
        program: the file of `programs/` that uses it.
        cannot: what it does not do with any server, as docs/clients.md says: ability to reason.
    """

    program: str
    cannot: Mapping[str, str] = field(default_factory=dict)


CLIENTS = {
    "openai-python-2": Client("ask_openai.py"),
    "openai-python-3": Client("ask_openai.py"),
    "openai-node-6": Client("ask_openai.mjs"),
    "openai-node-7": Client("ask_openai.mjs"),
    "langchain": Client(
        "ask_langchain.py",
        {
            "models": "does not list models",
            "reasoning": "drops it",
            "several streamed": "joins the choices of a stream into one",
        },
    ),
    "litellm": Client(
        "ask_litellm.py",
        {"models": "knows its own list only", "logprobs streamed": "its builder of whole answers drops them"},
    ),
    "vercel-ai": Client(
        "ask_vercel.mjs",
        {
            "models": "does not list models",
            "logprobs": "does not read them",
            "logprobs streamed": "does not read them",
            "several": "reads one choice",
            "several streamed": "reads one choice",
            "x-should-retry": "does not read it",
        },
    ),
}


class Program:
    """A running program."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    async def ask(self, do: str, **request: Any) -> Any:
        """Returns the reply to one request."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
        async with asyncio.timeout(LIMIT_S):
            line = await self._process.stdout.readline()
        assert line, f"{self.name} has ended:\n{self._log.read_text()}"
        return json.loads(line)

    async def answer(self, do: str, **request: Any) -> Any:
        """Returns the reply to a request that must not fail."""
        reply = await self.ask(do, **request)
        assert "raised" not in reply, reply
        return reply

    async def error(self, do: str, **request: Any) -> Any:
        """Returns how a request fails that must."""
        reply = await self.ask(do, **request)
        assert "raised" in reply, reply
        return reply["raised"]


@asynccontextmanager
async def running(name: str, base_url: str, key: str, log: Path) -> AsyncIterator[Program]:
    """Runs the program of a client.

    Args:
        name: a key of `CLIENTS`.
        base_url: of the server, with `/v1`.
        key: for the server.
        log: where what it prints is written.
    """
    arguments, folder = await asyncio.to_thread(command, name, CLIENTS[name].program)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=folder,
            env={**os.environ, **PRICES, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": key},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            limit=LONGEST_LINE_BYTES,
        )
    try:
        yield Program(name, process, log)
    finally:
        assert process.stdin
        process.stdin.close()
        async with asyncio.timeout(LIMIT_S):
            await process.wait()
