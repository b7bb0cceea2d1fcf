"""The wheel, installed into environments of its own: what a user without a checkout has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt_server.launcher.engines import uv
from gpt_server.launcher.wheel import our_wheel

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return our_wheel(tmp_path_factory.mktemp("wheel"), uv())


def environment(folder: Path, lock: str, wheel: Path) -> Path:
    """Makes an environment from a lock, with our wheel, and returns its Python."""
    python = folder / "bin" / "python"
    run(uv(), "venv", "--quiet", "--python", sys.executable, folder)
    run(uv(), "pip", "sync", "--quiet", "--require-hashes", "--python", python, LOCKS / lock)
    run(uv(), "pip", "install", "--quiet", "--no-deps", "--python", python, wheel)
    run(uv(), "pip", "check", "--quiet", "--python", python)
    return python


def test_edge_needs_no_engine(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "edge", "edge.lock", wheel)
    assert json.loads(run(python, "-m", "gpt_server.edge", "--check", cwd=tmp_path)) == []
    missing = "import importlib.util as u; print([u.find_spec(n) for n in ('torch', 'transformers', 'pytest')])"
    assert run(python, "-c", missing, cwd=tmp_path) == "[None, None, None]\n"


def test_engine_is_installed_from_the_wheel_and_demo_answers(wheel: Path, tmp_path: Path) -> None:
    """From an edge environment without any engine: install one, start the demo, ask it."""
    python = environment(tmp_path / "edge", "edge.lock", wheel)
    homes = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_STATE_HOME": str(tmp_path / "state")}
    tool = tmp_path / "edge" / "bin" / "gpt-server"
    path = f"{Path(uv()).parent}:{os.environ['PATH']}"
    assert "not installed: gpt-server engines install hf" in run(tool, "engines", "list", cwd=tmp_path, **homes)
    run(tool, "engines", "install", "hf", cwd=tmp_path, PATH=path, **homes)
    own = tmp_path / "data" / "gpt-server" / "engines" / "llm-hf" / "bin" / "python"
    assert str(own) in run(tool, "engines", "list", cwd=tmp_path, **homes)
    code = (ROOT / "tests" / "install" / "ask_demo.py").read_text()
    answer = json.loads(run(python, "-c", code, str(tool), cwd=tmp_path, **homes))
    assert answer["choices"][0]["message"]["content"]
