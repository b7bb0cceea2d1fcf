"""Replicas that are registered with Consul, by blocking queries.

Follows https://developer.hashicorp.com/consul/api-docs/features/blocking. Consul says who is there; who is well, each
replica says itself, on its own Watch: an instance that Consul's health check calls critical is named like any other.
"""

import logging
import random
import time
from asyncio import sleep
from collections.abc import AsyncIterator, Collection
from typing import Any
from urllib.parse import urlsplit

from consul import ACLPermissionDenied
from consul.aio import Consul
from consul.callback import CB

from gpt_server.edge.config import ConsulSettings
from gpt_server.edge.discovery.base import Discovery, Snapshot

WAIT_S = 60.0
"""How long a query without news is held."""
LINGER_S = 30.0
"""How long a replica stays known that is no longer listed.

One that stops says so on its Watch, one that died loses it: both are out of rotation already. What is left are those
that an agent forgot when it lost its state, and they register again within seconds.
"""
ANSWER_S = 10.0
"""How long an answer may take on top of the wait."""
PERIOD_S = 0.1
"""Shortest time between two queries: many changes at once are few questions."""
BACK_OFF_S = (0.2, 5.0)
"""First and longest pause after a failure."""

log = logging.getLogger(__name__)


class ConsulDiscovery(Discovery):
    """The instances of one service.

    Args:
        settings: the agent.
        service: name of the service.
    """

    def __init__(self, settings: ConsulSettings, service: str) -> None:
        self._settings = settings
        self._service = service

    async def watch(self) -> AsyncIterator[Snapshot]:
        """Yields the instances when the agent has answered and when they change; an agent that is away changes none."""
        known, cursor = Known(), Cursor()
        told: Snapshot | None = None
        pause_s, failing = BACK_OFF_S[0], False
        async with _client(self._settings) as client:
            while True:
                try:
                    answer, listed = await self._ask(client, cursor.index, known.wait_s(time.monotonic()))
                except Exception as error:
                    self._complain(error, failing)
                    cursor.restart()
                    failing = True
                    await sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 (no secret)
                    pause_s = min(pause_s * 2, BACK_OFF_S[1])
                    continue
                pause_s = BACK_OFF_S[0]
                if not cursor.believes(answer, listed):
                    continue
                if failing:
                    log.info("Consul tells of %s again", self._service)
                    failing = False
                snapshot = Snapshot(known.update(listed, time.monotonic()), frozenset())
                if snapshot != told:
                    told = snapshot
                    yield snapshot
                await sleep(PERIOD_S)

    def _complain(self, error: Exception, failing: bool) -> None:
        level = logging.DEBUG if failing else logging.WARNING
        log.log(level, "Consul does not tell of %s, the replicas stay as they are: %s", self._service, error)

    async def _ask(self, client: Consul, index: int, wait_s: float) -> tuple[int, frozenset[str]]:
        """Returns the index of the answer and the addresses in it, after `wait_s` at the latest if `index` is not 0."""
        token_file = self._settings.token_file
        token = token_file.read_text(encoding="utf-8").strip() if token_file else None
        answer, entries = await client.http.get(
            _listing,
            f"/v1/health/service/{self._service}",
            params=[("index", index), ("wait", f"{wait_s:.3f}s")] if index else [],
            headers=client.prepare_headers(token),
            connections_timeout=wait_s * 17 / 16 + ANSWER_S,  # Consul adds up to a sixteenth
        )
        return int(answer), frozenset(map(_address, entries))


class Cursor:
    """What to ask with next. `index`: that of the last answer; 0: answer at once."""

    def __init__(self) -> None:
        self.index = 0
        self._listed: Collection[str] = frozenset()

    def restart(self) -> None:
        """Asks from the start: an agent that has lost its state would let us wait for an index far ahead of it."""
        self.index = 0

    def believes(self, answer: int, listed: frozenset[str]) -> bool:
        """Takes over the index of an answer; returns whether what it lists is to be believed.

        Only an answer that was not waited for says whether the token hides something. So one that lacks somebody, and
        one without news, are asked for again.
        """
        asked = self.index
        if asked and (answer == asked or not listed.issuperset(self._listed)):
            self.index = 0
            return False
        self.index, self._listed = next_index(answer, asked), listed
        return True


class Known:
    """The replicas that are listed, and those that were until a moment ago."""

    def __init__(self) -> None:
        self._until_s: dict[str, float | None] = {}

    def update(self, listed: Collection[str], now_s: float) -> frozenset[str]:
        """Returns the addresses that count, given those that are listed now."""
        for address, until_s in [*self._until_s.items()]:
            if until_s is None and address not in listed:
                self._until_s[address] = now_s + LINGER_S
            elif until_s is not None and until_s <= now_s:
                del self._until_s[address]
        self._until_s |= dict.fromkeys(listed)
        return frozenset(self._until_s)

    def wait_s(self, now_s: float) -> float:
        """Returns how long a query may be held so that nobody lingers too long."""
        return max(min((until - now_s for until in self._until_s.values() if until is not None), default=WAIT_S), 1.0)


def next_index(answer: int, asked: int) -> int:
    """Returns the index to ask with: from the start when it went backwards, and never 0, which would not block."""
    return 0 if answer < asked else max(answer, 1)


def _client(settings: ConsulSettings) -> Consul:
    at = urlsplit(settings.address)
    tls = settings.tls
    pair = (str(tls.cert_file), str(tls.key_file)) if tls.cert_file else None
    secure = at.scheme == "https"
    client = Consul(
        f"[{at.hostname}]" if ":" in (at.hostname or "") else at.hostname,
        at.port or (8501 if secure else 8500),
        scheme=at.scheme,
        verify=secure and (str(tls.ca_file) if tls.ca_file else True),
        cert=pair,
    )
    return client


def _listing(response: Any) -> Any:
    """Reads an answer. A token that lost its rights gets an empty list; that is no news of the replicas."""
    found = CB.json(index=True)(response)
    if response.headers.get("X-Consul-Results-Filtered-By-ACLs") == "true":
        raise ACLPermissionDenied("the ACL token may not read all instances or their nodes")
    return found


def _address(entry: Any) -> str:
    """Returns `host:port` of an instance; one without an address of its own has its node's."""
    host, port = entry["Service"]["Address"] or entry["Node"]["Address"], entry["Service"]["Port"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
