"""The command line: `gpt-server up | doctor | engines | models | schema`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

OLDEST, NEWEST = (3, 11), (3, 13)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, 1 if something was found wrong, 2 if it could not be done."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"gpt-server: Python 3.11, 3.12 or 3.13 is needed; this is Python {found}.", file=sys.stderr)
        return 2
    from gpt_server.launcher.engines import EngineProblem
    from gpt_server.launcher.yaml_file import BadConfig

    flags = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = flags.command
    try:
        return command(flags)
    except BadConfig as error:
        for problem in error.problems:
            print(f"gpt-server: {problem}", file=sys.stderr)
    except EngineProblem as error:
        print(f"gpt-server: {error}", file=sys.stderr)
    except KeyboardInterrupt:  # before or without a stack
        return 130
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpt-server", description="Every open model behind one OpenAI-compatible address."
    )
    parser.add_argument("--version", action="version", version=version("gpt-server"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands)
    doctor = commands.add_parser("doctor", help="say what is installed, what is missing and what to do about it")
    _add_config(doctor)
    doctor.set_defaults(command=_doctor)
    engines = commands.add_parser("engines", help="list engines, or install one").add_subparsers(
        required=True, metavar="ACTION"
    )
    engines.add_parser("list", help="list engines and where they run").set_defaults(command=_engines_list)
    install = engines.add_parser("install", help="make an engine's environment from its lock")
    install.add_argument("engine")
    install.add_argument("--dir", type=Path, help="where to make it (default: where `up` looks for it)")
    install.add_argument("--python", help="interpreter of the environment (default: this one)")
    install.add_argument("--device", choices=("cpu", "cuda"), help="what it is for (default: what this machine has)")
    install.set_defaults(command=_engines_install)
    models = commands.add_parser("models", help="list models: configured, running, downloaded")
    _add_config(models)
    models.set_defaults(command=_models)
    commands.add_parser("schema", help="print the JSON Schema of the configuration").set_defaults(command=_schema)
    return parser


def _add_config(parser: Any) -> None:
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="configuration (default: gpt-server.yaml here, else the demo)"
    )


def _add_up(commands: Any) -> None:
    up = commands.add_parser("up", help="start a stack on this machine; Ctrl-C drains it, SIGHUP re-reads its file")
    what = up.add_mutually_exclusive_group()
    what.add_argument("model", nargs="?", metavar="MODEL", help="a model folder or hub id, instead of a configuration")
    _add_config(what)
    up.add_argument("--engine", default="hf", help="engine of MODEL (default: hf)")
    up.add_argument("--name", help="name that MODEL is asked for by (default: its last part)")
    up.add_argument("--service", default="llm", help="modality of MODEL (default: llm)")
    up.add_argument("--gpus", type=int, default=0, help="GPUs of MODEL (default: 0)")
    up.add_argument("--host", help="address of the edge, instead of the configuration's")
    up.add_argument("--port", type=int, help="port of the edge, instead of the configuration's")
    up.add_argument("--consul", action="store_true", help="start a Consul agent for this stack, and register with it")
    up.add_argument("--check", action="store_true", help="only say whether the configuration is right")
    up.set_defaults(command=_up)


def _up(flags: argparse.Namespace) -> int:
    from gpt_server.launcher import up

    return asyncio.run(up.check(flags) if flags.check else up.run(flags))


def _doctor(flags: argparse.Namespace) -> int:
    from gpt_server.launcher import doctor

    return asyncio.run(doctor.run(flags.config))


def _engines_list(flags: argparse.Namespace) -> int:
    from gpt_server.launcher import engines

    for engine in engines.ENGINES:
        where = engine.python or f"not installed: gpt-server engines install {engine.name}"
        print(f"{engine.name:12} {engine.service:6} {where}")
    return 0


def _engines_install(flags: argparse.Namespace) -> int:
    from gpt_server.launcher import engines

    python = engines.install(flags.engine, flags.dir, flags.python, flags.device)
    print(f"{flags.engine} is installed: {python}")
    return 0


def _models(flags: argparse.Namespace) -> int:
    from gpt_server.launcher import models

    return asyncio.run(models.run(flags.config))


def _schema(flags: argparse.Namespace) -> int:
    from gpt_server.launcher.config import StackConfig

    print(json.dumps(StackConfig.model_json_schema(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
