"""Replicas behind a DNS name, such as a headless Service of Kubernetes: one for each address that it has.

The system's resolver is asked again and again, since DNS does not tell of changes. It says who is there; who is well,
each replica says itself, on its own Watch.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

from gpt_server.edge.discovery.base import Discovery, Snapshot

EMPTY = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""Answers that are true: nobody has the name. All others mean that nothing is known at the moment."""

log = logging.getLogger(__name__)


class DnsDiscovery(Discovery):
    """The addresses of one name.

    Args:
        name: as `host:port`; the port is that of every replica.
        period_s: pause between an answer and the next question, in seconds.
    """

    def __init__(self, name: str, period_s: float) -> None:
        host, _, port = name.rpartition(":")
        self._host, self._port = host, int(port)
        self._period_s = period_s

    async def watch(self) -> AsyncIterator[Snapshot]:
        """Yields the addresses when the resolver has answered and when they change; one that fails changes none."""
        told: Snapshot | None = None
        failing = False
        while True:
            try:
                snapshot = Snapshot(await self._resolve(), frozenset())
            except OSError as error:
                level = logging.DEBUG if failing else logging.WARNING
                log.log(level, "DNS does not tell of %s, the replicas stay as they are: %s", self._host, error)
                failing = True
            else:
                if failing:
                    log.info("DNS tells of %s again", self._host)
                    failing = False
                if snapshot != told:
                    told = snapshot
                    yield snapshot
            await asyncio.sleep(self._period_s)

    async def _resolve(self) -> frozenset[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in EMPTY:
                return frozenset()
            raise
        return frozenset(_address(str(host), int(port)) for *_, (host, port, *_) in found)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
