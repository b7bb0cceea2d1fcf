"""The command line of a service process: `python -m gpt_server.services.<modality> --config FILE [--check]`."""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from pydantic_settings import CliSettingsSource

from gpt_server.services.common import tracing
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import Exit, Modality, Service, check
from gpt_server.services.common.settings import BadSettings, Problem, read_settings
from gpt_server.services.common.telemetry import set_up_log


def main(modality: Modality[Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a service process, or checks its settings, and exits."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=f"Serves {modality.service_name}.")
    parser.add_argument("--config", type=Path, help="settings, YAML")
    parser.add_argument("--check", action="store_true", help="load nothing, print what is wrong with them as JSON")
    source = CliSettingsSource[Any](ServiceSettings, root_parser=parser)
    flags = parser.parse_args(arguments)
    if flags.check:
        problems = _check(modality, flags, source)
        print(json.dumps([asdict(problem) for problem in problems]))
        sys.exit(1 if problems else 0)
    try:
        settings = read_settings(ServiceSettings, flags, source)
        set_up_log(settings.log)
        tracing.set_up(settings.tracing, settings.replica)
        code = asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_live(modality, settings))
    except BadSettings as error:
        print(error, file=sys.stderr)
        code = Exit.BAD_SETTINGS
    _leave(code)


def _check(modality: Modality[Any], flags: argparse.Namespace, source: "CliSettingsSource[Any]") -> Sequence[Problem]:
    try:
        return check(modality, read_settings(ServiceSettings, flags, source))
    except BadSettings as error:
        return error.problems


async def _live(modality: Modality[Any], settings: ServiceSettings) -> Exit:
    return await Service(modality, settings).run()


def _leave(code: Exit) -> NoReturn:
    """Exits without waiting for threads: a library may still be loading a model in one, for minutes."""
    tracing.close()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
