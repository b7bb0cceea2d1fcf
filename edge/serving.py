"""Sockets and uvicorn servers of the edge: one for the API, one for the operator."""

import asyncio
import logging
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S = 75
"""How long an idle connection stays open: longer than the pools of usual clients keep theirs."""
BACKLOG = 2048


class _NoIntendedAborts(logging.Filter):
    """Drops uvicorn's complaint about a stream that sse.py cut off on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "ASGI callable returned without completing response."


_no_intended_aborts = _NoIntendedAborts()


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process it runs in."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        #: Set when it answers.
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application and opens its port."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def server_of(app: ASGIApp, drain_timeout_s: float) -> Server:
    """Returns a server for `app`.

    It runs by `await server.serve([socket])` until `server.should_exit` is set, and then finishes what it has begun.

    Args:
        app: the application.
        drain_timeout_s: how long running requests may go on after that.
    """
    logging.getLogger("uvicorn.error").addFilter(_no_intended_aborts)
    config = uvicorn.Config(
        app,
        lifespan="on",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(drain_timeout_s),
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. Raises `OSError` if the address is taken or is none of this machine's."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Returns `host:port` of a socket, an IPv6 host in brackets."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
