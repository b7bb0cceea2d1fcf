"""Where the SDK is pointed to. `stack` is all that a test knows of the server: other stacks may be added to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.support.edge import edge_server
from tests.support.service import RunningService, llm_service

API_KEY = "sk-test"


@dataclass(frozen=True)
class Stack:
    """A running server: its base URL, with `/v1`, the name of a chat model, and the service if it is a fake one."""

    base_url: str
    model: str
    service: RunningService

    def client(self, **options: Any) -> AsyncOpenAI:
        """Returns a client that refuses answers which are not as OpenAI's specification has them."""
        return AsyncOpenAI(**self._options(options))

    def blocking_client(self, **options: Any) -> OpenAI:
        """Returns such a client for code without an event loop."""
        return OpenAI(**self._options(options))

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        given = {"base_url": self.base_url, "api_key": API_KEY, "_strict_response_validation": True}
        return given | {"max_retries": 0} | options


@asynccontextmanager
async def fake_stack() -> AsyncIterator[Stack]:
    """Runs an edge with a key in front of the fake engine."""
    limits = {"max_running": 2, "max_queued": 1}
    model = {"engine": "fake", "model": "none", "limits": limits}
    async with (
        llm_service({"fake-chat": model}) as service,
        edge_server([service.address], api_keys=API_KEY) as edge,
    ):
        yield Stack(f"{edge.url}/v1", "fake-chat", service)


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    """The server under test."""
    async with fake_stack() as running:
        yield running


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    """A client of it."""
    async with stack.client() as opened:
        yield opened
