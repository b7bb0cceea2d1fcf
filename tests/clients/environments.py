"""Environments of client libraries, from the locks in `locks/`. They lie in .venvs and stay until a lock changes."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from gpt_server.launcher.engines import uv
from tests.support.needs import need

ROOT = Path(__file__).parents[2]
LOCKS = Path(__file__).parent / "locks"
PROGRAMS = Path(__file__).parent / "programs"


def environment(name: str) -> Path:
    """Returns the folder of an environment, and makes it if it is not there or its lock has changed."""
    folder, lock = ROOT / ".venvs" / f"client-{name}", LOCKS / name
    state = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(lock.iterdir()))).hexdigest()
    made = folder / ".holds"
    if not made.exists() or made.read_text() != state:
        shutil.rmtree(folder, ignore_errors=True)
        make = _make_for_node if is_node(name) else _make_for_python
        make(folder, lock)
        made.write_text(state)
    return folder


def is_node(name: str) -> bool:
    """Whether the library is one for Node."""
    return (LOCKS / name / "package.json").exists()


def command(name: str, program: str) -> tuple[list[str], Path]:
    """Returns the command that runs a file of `programs/` in an environment, and the folder to run it in."""
    folder = environment(name)
    if not is_node(name):
        return [str(folder / "bin" / "python"), "-m", f"tests.clients.programs.{program.removesuffix('.py')}"], ROOT
    for file in PROGRAMS.glob("*.mjs"):
        shutil.copy(file, folder)  # Node looks for packages where a file lies
    return [need("node"), program], folder


def _make_for_python(folder: Path, lock: Path) -> None:
    python = folder / "bin" / "python"
    _run([uv(), "venv", "--quiet", "--python", sys.executable, folder], ROOT)
    _run([uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock / "requirements.lock"], ROOT)


def _make_for_node(folder: Path, lock: Path) -> None:
    npm = need("npm")
    shutil.copytree(lock, folder)
    _run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)


def _run(arguments: list[str | Path], folder: Path) -> None:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
