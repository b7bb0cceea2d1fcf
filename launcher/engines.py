"""Engines and the Python environments they run in: which there are, where they are, how one is made."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gpt_server.launcher import folders
from gpt_server.launcher.wheel import our_wheel


class EngineProblem(Exception):
    """An engine cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as the launcher knows it.

    Attributes:
        service: the modality it is for.
        library: module that must be importable where it runs; empty if it needs none.
        lock: name of the lock that its environment is made from; empty if it needs none of its own.
    """

    service: str
    library: str
    lock: str


ENGINES: Mapping[str, Engine] = {
    "hf": Engine("llm", "transformers", "llm-hf.lock"),
    "fake": Engine("llm", "", ""),
}


def find(service: str, name: str) -> Engine:
    """Returns an engine of a modality. Raises `EngineProblem`: there is none of that name."""
    names = [known for known, engine in ENGINES.items() if engine.service == service]
    if name in names:
        return ENGINES[name]
    meant = get_close_matches(name, names, 1)
    guess = f"did you mean {meant[0]}? " if meant else ""
    raise EngineProblem(f"unknown engine {name!r}; {guess}engines of {service}: {', '.join(sorted(names))}")


def environment(name: str) -> Path:
    """Returns where an engine's own environment lies, made or not."""
    return folders.environments() / f"{ENGINES[name].service}-{name}"


def python_of(name: str) -> Path | None:
    """Returns the Python an engine runs in: its own environment's, else this one if it has the library, else `None`."""
    own = environment(name) / "bin" / "python"
    if own.exists():
        return own
    library = ENGINES[name].library
    return Path(sys.executable) if not library or importlib.util.find_spec(library) else None


def is_whole(name: str, python: Path) -> bool:
    """Whether an interpreter finds an engine's library and our own package; nothing is imported."""
    wanted = [f"gpt_server.services.{ENGINES[name].service}", *filter(None, [ENGINES[name].library])]
    code = f"import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, {wanted})))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def install(name: str, folder: Path | None = None, python: str | None = None) -> Path:
    """Makes an engine's environment from its lock, with our own package in it.

    Args:
        name: of the engine.
        folder: where; its usual place if `None`.
        python: interpreter of the environment; this one if `None`.

    Returns:
        The environment's Python.

    Raises:
        EngineProblem: there is nothing to install, uv is missing, or a step has failed.
    """
    engine = ENGINES.get(name)
    if engine is None:
        raise EngineProblem(f"unknown engine {name!r}; engines: {', '.join(sorted(ENGINES))}")
    if not engine.lock:
        raise EngineProblem(f"the {name} engine needs no environment of its own")
    target = folder or environment(name)
    inside = target / "bin" / "python"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = our_wheel(Path(scratch), uv())
            _uv("venv", "--allow-existing", "--python", python or sys.executable, target)
            _uv("pip", "sync", "--require-hashes", "--python", inside, folders.locks() / engine.lock)
            _uv("pip", "install", "--no-deps", "--python", inside, wheel)
    except subprocess.CalledProcessError as error:
        command = " ".join(error.cmd[1:3])
        raise EngineProblem(f"uv {command} has failed with exit code {error.returncode}; see above") from None
    return inside


def uv() -> str:
    """Returns the path of uv. Raises `EngineProblem`: it is not installed."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise EngineProblem("uv is not installed; install it with: pip install uv")
    return found


def _uv(*arguments: str | Path) -> None:
    subprocess.run([uv(), *map(str, arguments)], check=True)
