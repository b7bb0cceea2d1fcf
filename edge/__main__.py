"""The edge process: `python -m gpt_server.edge --config FILE [--check]`.

Exit codes: 0 after SIGTERM or SIGINT, when running requests have ended; 2 for bad settings.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvloop
from fastapi import FastAPI
from pydantic_settings import CliSettingsSource

from gpt_server.edge.app import create_app
from gpt_server.edge.config import EdgeSettings, is_loopback
from gpt_server.edge.routes.health import admin_app
from gpt_server.edge.serving import address_of, listen, server_of
from gpt_server.edge.settings import BadSettingsError, Problem, read_settings
from gpt_server.edge.telemetry import configure_logging

BAD_SETTINGS = 2

log = logging.getLogger("gpt_server.edge")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs an edge, or checks its settings, and exits."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Serves OpenAI's API over GPT Server's services.")
    parser.add_argument("--config", type=Path, help="settings, YAML")
    parser.add_argument("--check", action="store_true", help="print what is wrong with the settings as JSON, and exit")
    source = CliSettingsSource[EdgeSettings](EdgeSettings, root_parser=parser)
    flags = parser.parse_args(arguments)
    problems: Sequence[Problem] = ()
    try:
        settings = read_settings(flags, source)
        app = _application(settings)
        if not flags.check:
            _run(settings, app)
    except BadSettingsError as error:
        problems = error.problems
    if flags.check:
        print(json.dumps([problem._asdict() for problem in problems]))
        sys.exit(1 if problems else 0)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(BAD_SETTINGS if problems else 0)


def _application(settings: EdgeSettings) -> FastAPI:
    try:
        return create_app(settings)
    except ValueError as error:
        raise BadSettingsError([Problem("", str(error))]) from None


def _run(settings: EdgeSettings, app: FastAPI) -> None:
    listeners = _api_listener(settings), _listener("admin.port", settings.admin.host, settings.admin.port)
    configure_logging(settings.log)
    if not is_loopback(listeners[0].getsockname()[0]):
        log.warning("%s is PLAIN HTTP beyond this machine: put a proxy with TLS before it", address_of(listeners[0]))
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve(settings, app, *listeners))


def _api_listener(settings: EdgeSettings) -> socket.socket:
    if settings.fd is None:
        return _listener("port", settings.host, settings.port)
    try:
        listener = socket.socket(fileno=settings.fd)
    except OSError as error:
        raise BadSettingsError([Problem("fd", f"{settings.fd} is not a socket: {error.strerror}")]) from None
    try:
        settings.check_guarded(listener.getsockname()[0])
    except ValueError as error:
        listener.close()
        raise BadSettingsError([Problem("fd", str(error))]) from None
    listener.setblocking(False)
    return listener


def _listener(key: str, host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise BadSettingsError([Problem(key, f"cannot listen on {host}:{port}: {error.strerror}")]) from None


async def _serve(settings: EdgeSettings, app: FastAPI, listener: socket.socket, admin_listener: socket.socket) -> None:
    """Serves until a signal comes, then finishes what runs."""
    addresses: dict[str, str | int] = {
        "http": address_of(listener),
        "admin": address_of(admin_listener),
        "pid": os.getpid(),
    }
    edge = app.state.edge
    api, admin = server_of(app, settings.drain_timeout_s), server_of(admin_app(edge), drain_timeout_s=1)

    def drain() -> None:
        api.force_exit = edge.draining  # the second signal
        edge.draining = api.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    async with asyncio.TaskGroup() as group:
        group.create_task(admin.serve([admin_listener]))
        serving = group.create_task(api.serve([listener]))
        await asyncio.gather(api.listening.wait(), admin.listening.wait())
        if settings.announce_file is not None:
            _announce(settings.announce_file, addresses)
        await serving
        admin.should_exit = True


def _announce(file: Path, addresses: dict[str, str | int]) -> None:
    """Writes where the ports are; readers see the whole file or none."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps(addresses), encoding="utf-8")
    draft.replace(file)


if __name__ == "__main__":
    main()
