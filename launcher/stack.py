"""A running stack: its children, what they say of themselves, and its whole life from `up` to the last exit."""

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from gpt_server.launcher import banner
from gpt_server.launcher.checks import check
from gpt_server.launcher.child import BAD_SETTINGS, POLL_S, Child
from gpt_server.launcher.config import StackConfig
from gpt_server.launcher.console import Console
from gpt_server.launcher.consul import NAME as CONSUL
from gpt_server.launcher.consul import ConsulAgent, LocalConsul
from gpt_server.launcher.plan import Plan, Process, plan
from gpt_server.launcher.run_folder import RunFolder
from gpt_server.launcher.yaml_file import BadConfig, YamlFile

TELL_PERIOD_S = 5.0
"""How often the user is told what is still loading."""
KILL_GRACE_S = 10.0
"""How much longer than the drain a child may take before it is killed."""

Load = Callable[[], tuple[StackConfig, YamlFile]]


class Stack:
    """All processes of one configuration.

    Args:
        load: reads the configuration; called once more at each SIGHUP.
        edge_python: interpreter of the edges.
        console: where everything is told.
        consul: an agent that belongs to the stack; `None`: it has none of its own.
    """

    def __init__(self, load: Load, edge_python: str, console: Console, consul: LocalConsul | None = None) -> None:
        self._load = load
        self._consul = consul
        self._edge_python = edge_python
        self._console = console
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._reload = False
        self._news = asyncio.Event()
        self._started_s = psutil.Process().create_time()

    async def run(self) -> int:
        """Lives until a signal ends it, and returns the exit code. Raises `BadConfig` before anything runs."""
        self._config, file = self._load()
        self._plan = plan(self._config, file, self._edge_python)
        self._socket = listen(self._config.edge.host, self._config.edge.port)
        with self._socket:
            self.port: int = self._socket.getsockname()[1]
            await check(self._plan, file)
            self._folder = RunFolder.make(self.port)
            self._on_signals()
            self._write()
            if self._consul is not None:
                self._run(ConsulAgent(self._consul, self._folder, self._console, self._on_change), {})
            for process in (*self._plan.services, *self._plan.edges):
                self._start(process)
            try:
                return await self._watch()
            finally:
                await self._drain()
                self._folder.remove()

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)

    def _on_stop(self) -> None:
        if self._stopping:
            self._console.say("stopping at once")
            for child in self._children.values():
                child.kill()
        else:
            self._console.say("draining; press Ctrl-C again to stop at once")
        self._stopping = True
        self._news.set()

    def _on_reload(self) -> None:
        self._reload = True
        self._news.set()

    def _on_change(self) -> None:
        self._write()
        self._news.set()

    def _start(self, process: Process) -> None:
        is_edge = process in self._plan.edges
        child = Child(process, self._folder, self._console, self._on_change, [self._socket.fileno()] if is_edge else [])
        settings = dict(process.settings) | {"announce_file": str(self._folder.announce_file(process.name))}
        if is_edge:
            discovery = {"file": str(self._folder.discovery_file)}
            settings |= {"fd": self._socket.fileno(), "discovery": discovery}
        self._run(child, settings)

    def _run(self, child: Child, settings: Mapping[str, Any]) -> None:
        self._children[child.process.name] = child
        self._tasks[child.process.name] = asyncio.create_task(child.run(settings))

    async def _watch(self) -> int:
        """Tells how the start goes on, and reloads when asked to, until the stack is to stop. Returns the exit code."""
        began_s, told = time.monotonic(), False
        reloading: asyncio.Task[None] | None = None
        known = asyncio.create_task(self._until_edges_know())
        known.add_done_callback(lambda _: self._news.set())
        while not self._stopping:
            self._news.clear()
            if not told and known.done():
                told = True
                self._console.plain(banner.text(self._config, self.port, time.monotonic() - began_s))
            if not told and any(child.exit_code == BAD_SETTINGS for child in self._children.values()):
                return BAD_SETTINGS
            if self._reload and (reloading is None or reloading.done()):
                self._reload = False
                reloading = asyncio.create_task(self._apply())
                reloading.add_done_callback(lambda _: self._news.set())
            await self._await_news()
        for task in (known, reloading):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        return 0

    async def _until_edges_know(self) -> None:
        """Returns when every process is ready, and every edge has heard it of every model."""
        while not all(child.ready for child in self._children.values()):  # noqa: ASYNC110 (processes tell nobody)
            await asyncio.sleep(POLL_S)
        models = [self._config.served_names(key)[0] for key, model in self._config.models.items() if model.replicas]
        for edge in [child for child in self._children.values() if child.process in self._plan.edges]:
            while not await edge.knows(models):  # noqa: ASYNC110 (edges neither)
                await asyncio.sleep(POLL_S)

    async def _await_news(self) -> None:
        try:
            async with asyncio.timeout(TELL_PERIOD_S):
                await self._news.wait()
        except TimeoutError:
            now_s = asyncio.get_running_loop().time()
            for child in self._services():
                if child.pid and not child.ready:
                    engines = {model["engine"] for model in child.process.settings["models"].values()}
                    past_s = now_s - child.began_s
                    self._console.say(f"{child.process.name} loading ({', '.join(engines)}, {past_s:.0f} s)…")

    async def _apply(self) -> None:
        """Starts and stops what a changed file asks for; children that are the same go on untouched."""
        try:
            config, file = self._load()
            if config.consul != self._config.consul:
                self._console.say("changes of `consul` take effect at the next start")
                config = config.model_copy(update={"consul": self._config.consul})
            held = {child.process.name: child.process.devices for child in self._services()}
            wanted = plan(config, file, self._edge_python, held)
            kept = [child.process for child in self._services() if child.exit_code != BAD_SETTINGS]
            changed = [process for process in wanted.services if process not in kept]
            await check(Plan((), tuple(changed), ()), file)
        except BadConfig as error:
            self._console.say("the changed configuration is not used:")
            for problem in error.problems:
                self._console.plain(f"  {problem}")
            return
        if config.edge != self._config.edge:
            self._console.say("changes of `edge` take effect at the next start")
        untouched = [process for process in wanted.services if process in kept]
        ended = [child.process.name for child in self._services() if child.process not in untouched]
        self._config, self._plan = config, Plan(self._plan.edges, wanted.services, wanted.expected_models)
        self._write()
        await self._end(ended)
        for process in changed:
            self._start(process)
        self._write()
        self._console.say(f"configuration read again: {len(ended)} ended, {len(changed)} started")

    def _services(self) -> list[Child]:
        return [child for child in self._children.values() if child.process.models]

    async def _end(self, names: Iterable[str]) -> None:
        """Drains children and forgets them."""
        ending = {name: self._children[name] for name in names}
        for child in ending.values():
            child.stop()
        tasks = [self._tasks[name] for name in ending]
        if tasks:
            longest_s = max(child.process.settings.get("drain_timeout_s", 0.0) for child in ending.values())
            _, late = await asyncio.wait(tasks, timeout=longest_s + KILL_GRACE_S)
            for child in ending.values() if late else ():
                child.kill()
            await asyncio.wait(tasks)
        for name in ending:
            del self._tasks[name], self._children[name]

    async def _drain(self) -> None:
        """Ends the edges, which finish what they have, then the services, then the Consul agent that they need."""
        self._stopping = True
        self._socket.close()  # the edges close theirs: new connections are refused
        services = [child.process.name for child in self._services()]
        await self._end(self._children.keys() - {*services, CONSUL})
        await self._end(services)
        await self._end([*self._children])
        self._console.say("stopped")

    def _write(self) -> None:
        """Writes down who is where: for the edges, and for `doctor` and `models`."""
        # Where Consul knows the replicas, the edges hear of them from it alone.
        found = [] if self._config.consul else self._services()
        addresses = [child.ports["grpc"] for child in found if "grpc" in child.ports]
        replicas = {"addresses": addresses, "expected_models": list(self._plan.expected_models)}
        self._folder.write_json(self._folder.discovery_file, replicas)
        self._folder.write_stack(self._description())

    def _description(self) -> dict[str, Any]:
        children = [
            {"name": name, "pid": child.pid, "models": list(child.process.models), **child.ports}
            for name, child in self._children.items()
        ]
        url = banner.url(self._config, self.port)
        return {"pid": os.getpid(), "started_s": self._started_s, "url": url, "children": children}


def listen(host: str, port: int) -> socket.socket:
    """Opens the port that the edges share. Raises `BadConfig`: it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        who = f" by {owner}" if (owner := _owner(port)) else ""
        why = f"is taken{who}" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise BadConfig([f"port {port} on {host} {why}; choose another: gpt-server up --port {port + 1}"]) from None
    return listener


def _owner(port: int) -> str:
    """Returns who listens on a port, as far as we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            at = connection.laddr
            if connection.status == psutil.CONN_LISTEN and at and at.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


def config_path(given: Path | None) -> Path:
    """Returns the file that `up` reads: the one named, else `gpt-server.yaml` here, else the demo's."""
    here = Path("gpt-server.yaml")
    return given or (here if here.exists() else Path(__file__).with_name("demo.yaml"))
