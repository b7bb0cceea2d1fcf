"""The packages of clients/, built, and their examples as programs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gpt_server.launcher.engines import uv
from tests.clients.environments import ROOT, environment
from tests.support.needs import need

CLIENTS = ROOT / "clients"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gpt-server" / "clients"
"""What a compiler keeps for the next time, outside of the checkout, as Go and Maven do it by themselves."""
BUILD_LIMIT_S = 900.0

Command = Callable[[str], list[str]]
"""Example -> what starts it."""


def python() -> Command:
    """Builds the wheel and installs it in an environment that has nothing of the server's."""
    folder, wheels = environment("grpc-python"), ROOT / "build" / "clients"
    shutil.rmtree(wheels, ignore_errors=True)
    options = ["--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(wheels)]
    _run([uv(), "build", *options, CLIENTS / "python"], ROOT)
    (wheel,) = wheels.glob("*.whl")
    _run([uv(), "pip", "install", "--no-deps", "--reinstall", "--python", folder / "bin" / "python", wheel], ROOT)
    return lambda name: [str(folder / "bin" / "python"), str(CLIENTS / "python" / "examples" / f"{name}.py")]


def go() -> Command:
    """Builds the examples, and checks what vet says and that the generated code is that of the protos."""
    programs, source = CACHE / "go", CLIENTS / "go"
    before = _texts(source / "gen")
    _run([need("go"), "generate", "./..."], source)
    assert _texts(source / "gen") == before, (
        "clients/go/gen was not that of protos/: commit what `go generate` has made"
    )
    _run([need("go"), "vet", "./..."], source)
    programs.mkdir(parents=True, exist_ok=True)
    _run([need("go"), "build", "-o", f"{programs}/", "./examples/..."], source)
    return lambda name: [str(programs / name)]


def node() -> Command:
    """Installs what the lock says, unless it is there, generates and compiles."""
    source = CLIENTS / "node"
    lock, installed = source / "package-lock.json", source / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _run([need("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], source)
    _run([need("npm"), "run", "build"], source)
    return lambda name: [need("node"), str(source / "dist" / "examples" / f"{name}.js")]


def rust() -> Command:
    """Builds library and examples."""
    target = CACHE / "rust"
    _run([need("cargo"), "fmt", "--check"], CLIENTS / "rust")
    _run([need("cargo"), "build", "--quiet", "--examples"], CLIENTS / "rust", CARGO_TARGET_DIR=str(target))
    return lambda name: [str(target / "debug" / "examples" / name)]


def java() -> Command:
    """Builds library and examples."""
    target = CLIENTS / "java" / "target"
    _run([need("mvn"), "--quiet", "--batch-mode", "test-compile"], CLIENTS / "java")
    path = os.pathsep.join(str(target / part) for part in ("classes", "test-classes", "lib/*"))
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # short programs
    return lambda name: [need("java"), *options, "-cp", path, f"gptserver.examples.{name.capitalize()}"]


LANGUAGES: Mapping[str, Callable[[], Command]] = {
    build.__name__: build for build in (python, go, node, rust, java)
}  # fmt: skip


def _run(arguments: list[str | Path], folder: Path, **settings: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # buf is there
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": path, **settings},
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _texts(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in sorted(folder.rglob("*.go"))}
