"""One stack for all clients: models of the demo; fake engines where a pace or a fault is needed, and for vectors."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
import yaml

from tests.clients.environments import ROOT
from tests.clients.program import Program, running
from tests.support.raw import RawAnswer, raw_post
from tests.support.stack import RunningStack, stack

KEY = "none"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
CHAT = "demo-chat"
"""The chat model. The tests assume no more than that it can add, call a tool and fill in a form."""
EMBED, EAR, VOICE, IMAGE = "demo-embed", "demo-ear", "demo-voice", "demo-image"
FAKE = "org/fake"
FAKE_SECTION = {"engine": "fake", "model": "none", "names": [FAKE], "limits": {"max_running": 1, "max_queued": 0}}
VECTORS = "fake-vectors"
VECTORS_SECTION = {"service": "embed", "engine": "fake", "model": "none"}
DEMO = ROOT / "launcher" / "demo.yaml"
DEMO_MODELS: dict[str, dict[str, object]] = {
    name: {key: str(DEMO.parent / value) if str(value).startswith("../") else value for key, value in section.items()}
    for name, section in yaml.safe_load(DEMO.read_text())["models"].items()
}
"""The demo's sections, for a configuration that lies elsewhere."""
EDGE_PROCESS, FAKE_PROCESS = "edge-0", "fake-0"


@dataclass(frozen=True, slots=True)
class Server:
    """What the tests know of the server."""

    stack: RunningStack

    @property
    def base_url(self) -> str:
        """What clients are pointed to."""
        return f"{self.stack.url}/v1"

    async def attempts(self, reason: str) -> float:
        """Returns how many requests to the fake model have ended so."""
        series = f'gpt_server_edge_requests_total{{key_name="tests",model="{FAKE}",reason="{reason}"}}'
        return await self.stack.metric(EDGE_PROCESS, series)

    async def context_tokens(self) -> int:
        """Returns how many tokens the chat model takes."""
        url = f"{self.base_url}/models/{CHAT}"
        async with aiohttp.ClientSession(headers=AUTHORIZED) as session, session.get(url) as response:
            return int((await response.json())["max_model_len"])

    def watching(self) -> AbstractAsyncContextManager[Callable[[int], Awaitable[None]]]:
        """What waits until the fake model's service says that so many slots are held."""
        return self.stack.watching(FAKE_PROCESS)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[int]:
        """Holds the fake model's only slot while the context is open; yields what others are told, in seconds."""
        async with self.watching() as until_running:
            async with self._ask_without_end():
                await until_running(1)
                read = len(self.stack.lines)
                async with self._ask_without_end() as refused:
                    await self.refused(after=read)
                yield int(refused.headers["retry-after"])
            await until_running(0)

    async def refused(self, after: int) -> None:
        """Waits for a line of the log, behind that number, that says of a request that there was no room."""
        await self.stack.said("reason=overloaded", after)

    def _ask_without_end(self) -> AbstractAsyncContextManager[RawAnswer]:
        body = {"model": FAKE, "messages": [{"role": "user", "content": "x"}], "stream": True, **script(**ENDLESS)}
        return raw_post(self.stack.url, "/v1/chat/completions", body, headers=AUTHORIZED)


ENDLESS = {"tokens": 100_000, "token_s": 0.01}


def script(**fake: object) -> dict[str, object]:
    """Fields of a request, beyond OpenAI's, that tell the fake engine what to answer."""
    return {"chat_template_kwargs": {"fake": fake}}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """`gpt-server up` with all models. TEST_CHAT_MODEL, in YAML, changes keys of the chat model's section."""
    folder = tmp_path_factory.mktemp("clients")
    changes: dict[str, object] = yaml.safe_load(os.environ.get("TEST_CHAT_MODEL", "{}"))
    models: dict[str, object] = {**DEMO_MODELS, "fake": FAKE_SECTION, VECTORS: VECTORS_SECTION}
    models[CHAT] = {**DEMO_MODELS[CHAT], "names": [CHAT], **changes}
    config = folder / "stack.yaml"
    config.write_text(yaml.safe_dump({"edge": {"port": 0}, "hub": {"offline": True}, "models": models}))
    async with stack(folder, "-c", str(config), env={"GPT_SERVER_API_KEYS": f"tests:{KEY}"}) as up:
        yield Server(up)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Program]:
    """The running program of the client that the test is parametrised with."""
    name: str = request.param
    log = tmp_path_factory.mktemp(name) / "log"
    async with running(name, server.base_url, KEY, log) as program:
        yield program
