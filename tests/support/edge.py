"""A real edge in this process: uvicorn, the application, a free port."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from gpt_server.edge.app import create_app
from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.context import Edge
from gpt_server.edge.serving import Server, listen, server_of


@dataclass(frozen=True, slots=True)
class RunningEdge:
    """An edge that answers at `url`, `http://127.0.0.1:<port>`."""

    url: str
    app: FastAPI
    server: Server

    @property
    def edge(self) -> Edge:
        """Its inside."""
        found: Edge = self.app.state.edge
        return found


@asynccontextmanager
async def edge_server(
    addresses: Collection[str] = (), *, wait: bool = True, **settings: Any
) -> AsyncIterator[RunningEdge]:
    """Runs an edge for the replicas at `addresses`; each has been asked what it serves when the context opens.

    Args:
        addresses: replicas, as `host:port`.
        wait: whether the context opens only when discovery has synced.
        **settings: of `EdgeSettings`.
    """
    app = create_app(EdgeSettings(**{"discovery": {"addresses": tuple(addresses)}} | settings))
    socket = listen("127.0.0.1", 0)
    server = server_of(app, drain_timeout_s=1)
    serving = asyncio.create_task(server.serve([socket]))
    running = RunningEdge(f"http://127.0.0.1:{socket.getsockname()[1]}", app, server)
    try:
        await (running.edge.replicas.synced if wait else server.listening).wait()
        yield running
    finally:
        server.should_exit = True
        await serving
