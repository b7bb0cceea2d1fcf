"""Registers a service process with a Consul agent, and keeps it registered while it lives.

The agent itself asks gRPC's health service, and calls the process critical until its models are ready. Edges use
Consul only to learn where replicas are; clients that call services straight see from it who is well, and by the tags,
which models are served.
"""

import asyncio
import json
import logging
import random
import socket
from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from consul import Check, Consul, ConsulException

from gpt_server.services.common.config import ConsulSettings, ServiceSettings, served_names
from gpt_server.services.common.server import join_address

PERIOD_S = 5.0
"""How often the agent is asked whether it still knows the process."""
BACK_OFF_S = (0.2, 5.0)
"""First and longest pause after a failure."""
ANSWER_S = 5.0
"""How long the agent may take to answer."""
MAX_META_LENGTH = 512

log = logging.getLogger(__name__)


class Registration:
    """The entry of this process with the agent.

    Args:
        consul: the agent.
        settings: of the process.
        service_name: full name of its gRPC service, which health knows.
        port: of gRPC.
        is_ready: whether its models take requests.
    """

    def __init__(
        self,
        consul: ConsulSettings,
        settings: ServiceSettings,
        service_name: str,
        port: int,
        is_ready: Callable[[], bool],
    ) -> None:
        self._consul = consul
        self._client = _client(consul)
        self._id = settings.replica
        self._grpc = settings.grpc
        self._health_name = service_name
        self._port = port
        self._is_ready = is_ready
        self._advertised: str | None = None
        self._entry = {
            "name": f"{consul.prefix}-{service_name.split('.')[1]}",
            "tags": [name for key, model in settings.models.items() for name in served_names(key, model)],
            "meta": {
                "engine": ",".join(sorted({model.engine for model in settings.models.values()}))[:MAX_META_LENGTH],
                "version": version("gpt-server"),
            },
        }
        self._leaving = asyncio.Event()
        self._taken = False

    def start(self) -> None:
        """Registers in the background, and goes on trying if that fails."""
        listening = self._consul.advertise_host or self._grpc.host
        if _is_loopback(listening) and not _is_loopback(_host_of(self._consul)):
            log.warning("others cannot reach %s, with which this registers: set grpc.host", listening)
        self._life = asyncio.create_task(self._keep())

    def leave(self) -> None:
        """Begins to take the entry away."""
        self._leaving.set()

    async def left(self) -> None:
        """Returns when the entry is gone, or the agent has not answered."""
        self.leave()
        await asyncio.wait([self._life], timeout=ANSWER_S)

    async def _keep(self) -> None:
        """The client blocks, so it works in a thread; one call after the other, so that the last one is the leave."""
        pause_s, well, first = BACK_OFF_S[0], True, True
        while not self._leaving.is_set():
            try:
                await asyncio.to_thread(self._put if first else self._restore)
                if first or not well:
                    log.info("registered with Consul as %s of %s", self._id, self._entry["name"])
                first, well, wait_s, pause_s = False, True, PERIOD_S, BACK_OFF_S[0]
            except Exception as error:  # nothing that an agent answers may end this
                log.log(logging.WARNING if well else logging.DEBUG, "cannot register with Consul: %s", error)
                well, wait_s, pause_s = False, pause_s, min(pause_s * 2, BACK_OFF_S[1])
            await self._rest(wait_s * random.uniform(0.5, 1))  # noqa: S311 (no secret)
        try:
            await asyncio.to_thread(self._remove)
        except (ConsulException, OSError) as error:  # requests' errors are of the second kind
            log.warning("cannot deregister from Consul: %s", error)

    async def _rest(self, longest_s: float) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._leaving.wait()
        except TimeoutError:
            pass

    def _put(self) -> None:
        self._advertised, checked = hosts(self._consul, self._grpc.host)
        self._client.agent.service.register(
            service_id=self._id,
            address=self._advertised,
            port=self._port,
            check=self._check(join_address(checked, self._port)),
            replace_existing_checks=True,
            token=self._token(),
            **self._entry,
        )

    def _check(self, address: str) -> dict[str, Any]:
        """Returns the health check in the agent's words."""
        how = self._consul.check
        check: dict[str, Any] = Check.grpc(
            f"{address}/{self._health_name}",
            f"{how.interval_s:.3f}s",
            timeout=f"{how.interval_s:.3f}s",
            use_tls=self._grpc.tls is not None,
            tls_skip_verify=how.tls_skip_verify,
            deregister=f"{how.deregister_after_s:.0f}s",
        )
        name = {"TLSServerName": how.tls_server_name} if how.tls_server_name else {}
        return check | name | {"Status": "passing" if self._is_ready() else "critical"}

    def _restore(self) -> None:
        """Registers again if the agent has forgotten us. An entry of someone else under our name is left alone."""
        entry = self._found()
        if entry is None:
            log.info("Consul's agent has lost the registration; registering again")
            self._put()
        taken = entry is not None and not self._is_ours(entry)
        if taken and not self._taken:
            log.error("another process has registered with Consul as %s: `replica` must be unique", self._id)
        self._taken = taken

    def _remove(self) -> None:
        entry = self._found()
        if entry is not None and self._is_ours(entry):
            self._client.agent.service.deregister(self._id, token=self._token())

    def _found(self) -> Mapping[str, Any] | None:
        entries = self._client.agent.services(filter_expr=f"ID == {json.dumps(self._id)}", token=self._token())
        found: Mapping[str, Any] | None = entries.get(self._id)
        return found

    def _is_ours(self, entry: Mapping[str, Any]) -> bool:
        return (entry["Address"], entry["Port"]) == (self._advertised or "", self._port)

    def _token(self) -> str | None:
        """Reads the file each time, so that a token can be replaced."""
        file = self._consul.token_file
        return file.read_text(encoding="utf-8").strip() if file else None


class Hosts(NamedTuple):
    """Where the gRPC port is reached: by everyone (`None`: at the agent's own address), and by the agent's check."""

    advertised: str | None
    checked: str


def hosts(settings: ConsulSettings, listening: str) -> Hosts:
    """Returns where a port is reached that listens on `listening`."""
    if settings.advertise_host or not _is_wildcard(listening):
        host = settings.advertise_host or listening
        return Hosts(host, host)
    if _is_loopback(_host_of(settings)):
        return Hosts(None, "127.0.0.1")
    own = _address_towards(settings)
    return Hosts(own, own)


def _client(settings: ConsulSettings) -> Consul:
    at = urlsplit(settings.address)
    tls = settings.tls
    client = Consul(
        f"[{at.hostname}]" if ":" in _host_of(settings) else at.hostname,
        at.port or (8501 if at.scheme == "https" else 8500),
        scheme=at.scheme,
        verify=str(tls.ca_file) if tls.ca_file else True,
        cert=(str(tls.cert_file), str(tls.key_file)) if tls.cert_file else None,
        connections_timeout=ANSWER_S,
    )
    client.http.session.trust_env = False  # neither a proxy nor .netrc stands between a process and its agent
    return client


def _host_of(settings: ConsulSettings) -> str:
    return urlsplit(settings.address).hostname or ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _address_towards(settings: ConsulSettings) -> str:
    """Returns this machine's address on the way to the agent. Nothing is sent."""
    family, _, _, _, address = socket.getaddrinfo(_host_of(settings), 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)
        own: str = probe.getsockname()[0]
    return own
