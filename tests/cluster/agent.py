"""A real Consul agent on loopback: started, asked, killed and started again."""

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.needs import need

LIMIT_S = 120.0  # only so that a failure ends
PORTS = ("http", "https", "serf_lan", "server")


class Agent:
    """An agent; by default the only server of its cluster. It keeps its ports over restarts.

    `config`, what its file will say, may be changed before it starts.

    Args:
        folder: for its files; made.
        **config: of the agent, on top of what every one has.
    """

    def __init__(self, folder: Path, **config: Any) -> None:
        with ExitStack() as held:
            free = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
            self.ports = {name: one.getsockname()[1] for name, one in zip(PORTS, free, strict=True)}
        if "tls" not in config:
            self.ports["https"] = -1
        self.name = folder.name
        self._folder = folder
        self.config = {
            "node_name": folder.name,
            "data_dir": str(folder / "data"),
            "bind_addr": "127.0.0.1",
            "ports": self.ports | dict.fromkeys(("dns", "grpc", "grpc_tls", "serf_wan"), -1),
            "disable_update_check": True,
            "log_level": "error",
            "performance": {"raft_multiplier": 1},
            "server": True,
            **({} if "bootstrap_expect" in config or config.get("server") is False else {"bootstrap": True}),
            **config,
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Of the HTTP API."""
        return f"http://127.0.0.1:{self.ports['http']}"

    async def start(self) -> None:
        """Starts the process."""
        self._folder.mkdir(exist_ok=True)
        file = self._folder / "agent.json"
        file.write_text(json.dumps(self.config))
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                need("consul"), "agent", "-config-file", str(file), stdout=log, stderr=log
            )

    async def lead(self) -> None:
        """Returns when the agent knows a leader."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError, AssertionError):
                    if await self.get("/v1/status/leader"):
                        return
                await asyncio.sleep(0.05)  # an agent that starts has nothing to wait on

    async def kill(self, *, forget: bool = False) -> None:
        """Ends the process as a crash would; with `forget`, all that it knew is gone too."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if forget:
            shutil.rmtree(self._folder / "data")

    async def get(self, path: str, token: str = "") -> Any:
        """Returns what the API answers to a GET."""
        _, document = await self._ask("GET", path, token=token)
        return document

    async def put(self, path: str, body: Any = None, token: str = "") -> Any:
        """Returns what the API answers to a PUT."""
        _, document = await self._ask("PUT", path, body, token)
        return document

    async def entries(
        self, service: str, condition: Callable[[Mapping[str, Mapping[str, Any]]], bool], token: str = ""
    ) -> Mapping[str, Mapping[str, Any]]:
        """Waits for the instances of a service, by id, to be as wanted; returns them with their checks' status."""
        index = ""
        async with asyncio.timeout(LIMIT_S):
            while True:
                path = f"/v1/health/service/{service}?wait=10s&index={index}"
                index, found = await self._ask("GET", path, token=token)
                entries = {one["Service"]["ID"]: one["Service"] | {"Status": _status(one)} for one in found}
                if condition(entries):
                    return entries

    async def _ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[str, Any]:
        headers = {"X-Consul-Token": token} if token else {}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.address + path, json=body, headers=headers) as answer,
        ):
            text = await answer.text()
            assert answer.status == 200, f"{answer.status} {text}"
            return answer.headers.get("X-Consul-Index", ""), json.loads(text or "null")


def _status(entry: Any) -> str:
    (status,) = (check["Status"] for check in entry["Checks"] if check["CheckID"].startswith("service:"))
    return str(status)


@asynccontextmanager
async def agent(folder: Path, **config: Any) -> AsyncIterator[Agent]:
    """Runs an agent that has a leader, and leaves nothing behind."""
    running = Agent(folder, **config)
    await running.start()
    try:
        await running.lead()
        yield running
    finally:
        await running.kill()
