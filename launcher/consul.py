"""Consul: the agent of a stack's own (`gpt-server up --consul`), and whether one answers."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from gpt_server.launcher import admin, folders
from gpt_server.launcher.child import Child, lines
from gpt_server.launcher.config import ConsulConfig
from gpt_server.launcher.console import Console
from gpt_server.launcher.plan import Process
from gpt_server.launcher.run_folder import RunFolder
from gpt_server.launcher.yaml_file import BadConfig

NAME = "consul"
DEFAULT_ADDRESS = "http://127.0.0.1:8500"
LEADER_PATH = "/v1/status/leader"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class LocalConsul:
    """An agent that is to run: in memory, on loopback, the only server of its data centre.

    Attributes:
        binary: Consul's.
        http_port: of its API; an agent that is started again keeps it.
        serf_port: one that it needs for itself.
        server_port: another.
    """

    binary: str
    http_port: int
    serf_port: int
    server_port: int

    @classmethod
    def find(cls) -> "LocalConsul":
        """Returns an agent on free ports. Raises `BadConfig`: there is no Consul on this machine."""
        binary = find_binary()
        if binary is None:
            raise BadConfig(["--consul: no consul in PATH; install Consul, or in a checkout: make tools"])
        with ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            return cls(binary, *(one.getsockname()[1] for one in sockets))

    @property
    def address(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.http_port}"

    def command(self, folder: Path) -> Sequence[str]:
        """Returns what starts it; `folder` is for what it keeps."""
        ports = {"http": self.http_port, "serf-lan": self.serf_port, "server": self.server_port}
        ports |= dict.fromkeys(("dns", "grpc", "grpc-tls", "serf-wan"), -1)
        flags = (part for name, port in ports.items() for part in (f"-{name}-port", str(port)))
        quiet = "disable_update_check = true disable_host_node_id = true"
        fixed = ("-dev", "-bind", "127.0.0.1", "-data-dir", str(folder), "-log-level", "error", "-hcl", quiet)
        return self.binary, "agent", *fixed, *flags


class ConsulAgent(Child):
    """The process of it."""

    def __init__(self, agent: LocalConsul, folder: RunFolder, console: Console, changed: Callable[[], None]) -> None:
        super().__init__(Process(NAME, agent.binary, "", {}), folder, console, changed)
        self._agent = agent

    def stop(self) -> None:
        """Ends it at once: it keeps nothing, and its goodbye is a page of errors."""
        self.kill()

    def _command(self, settings: Path) -> Sequence[str]:
        return self._agent.command(settings.with_name(NAME))

    async def _tell(self, output: int) -> None:
        async for line in lines(output):
            if line.strip() and not line.startswith((" ", "==>")):  # not its table of what it is
                self._console.child(NAME, line)

    async def _announced(self, announce: Path) -> dict[str, Any]:
        return {"http": f"127.0.0.1:{self._agent.http_port}"}

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return b":" in await admin.get(self.ports["http"], LEADER_PATH)
        except (OSError, TimeoutError):
            return False


def find_binary() -> str | None:
    """Returns Consul's program: the one in PATH, else one that `make tools` has built."""
    built = sorted(folders.tools().glob(f"{NAME}-*/{NAME}"))
    return shutil.which(NAME) or (str(built[-1]) if built else None)


def leader(consul: ConsulConfig) -> str:
    """Returns the address of the leader that an agent knows of; empty if there is none.

    Raises:
        OSError: nobody answers, or not as an agent does.
    """
    tls = consul.tls
    context = ssl.create_default_context(cafile=tls.ca_file if tls else None)
    if tls and tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    with opener.open((consul.address or DEFAULT_ADDRESS) + LEADER_PATH, timeout=TIMEOUT_S) as answer:
        return str(answer.read(256).decode().strip().strip('"'))
