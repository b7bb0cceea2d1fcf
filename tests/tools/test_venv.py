"""tools/venv.sh on machines that cannot run GPT Server: one clear line each, and nothing left behind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD = "#!/bin/sh\ncase $1 in --version) echo Python 3.10.4;; *) exit 1;; esac\n"
WITHOUT_VENV = '#!/bin/sh\ncase "$1 $2" in "-m venv") exit 1;; "--version "*) echo Python 3.12.1;; *) exit 0;; esac\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a fresh clone as the script reads."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "protos" / "gpt_server").mkdir(parents=True)
    for name in ("tools/venv.sh", "tools/build_stubs.py", "pyproject.toml", "requirements/demo.lock", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def interpreter(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return path


def run(checkout: Path, *, python: str | None = None, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON"}
    environment |= {"PYTHON": python} if python else {}
    environment |= {"PATH": path} if path else {}
    return subprocess.run(
        ["/bin/bash", "tools/venv.sh", "demo"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_python_named_by_the_user_is_too_old(checkout: Path) -> None:
    old = interpreter(checkout / "bin", "python3.10", OLD)
    done = run(checkout, python=str(old))
    assert done.returncode == 2
    assert done.stderr == f"gpt-server: PYTHON={old} is not a Python 3.11, 3.12 or 3.13.\n"
    assert not (checkout / ".venv").exists()


def test_no_python_is_new_enough(checkout: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        interpreter(checkout / "bin", name, OLD)
    done = run(checkout, path=f"{checkout / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 2
    assert done.stderr.startswith("gpt-server: Python 3.11, 3.12 or 3.13 is needed, found Python 3.10.4.")
    assert done.stderr.count("\n") == 1


def test_python_cannot_make_environments(checkout: Path) -> None:
    crippled = interpreter(checkout / "bin", "python3.12", WITHOUT_VENV)
    done = run(checkout, python=str(crippled))
    assert done.returncode == 2
    assert done.stderr.endswith("On Debian and Ubuntu: apt install python3-venv\n")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()
