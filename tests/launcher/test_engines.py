"""Engines' environments, without making one: tests/install does that."""

import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from gpt_server.launcher import engines, folders
from gpt_server.launcher.engines import EngineProblem
from gpt_server.launcher.wheel import pack

INFO = "gpt_server-1.0.dist-info"
ROW = "sha256=uU0nuZNNPgilLlLX2n2r-sSE7-N6U4DukIj3rOLvzek,3"


def test_every_engine_with_a_lock_has_one() -> None:
    assert {engine.environment for engine in engines.ENGINES} - {""} == set(engines.LOCKS)
    locks = {lock for pair in engines.LOCKS.values() for lock in pair}
    assert locks <= {path.name for path in folders.locks().iterdir()}


def test_installed_package_becomes_a_wheel_again(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "site-packages"
    record = (
        f"gpt_server/a.py,{ROW}\n{INFO}/METADATA,,\n{INFO}/RECORD,,\n{INFO}/INSTALLER,,\n{INFO}/direct_url.json,,\n"
    )
    record += "../../bin/gpt-server,,\ngpt_server/__pycache__/a.pyc,,\n"
    files = {"gpt_server/a.py": "a=1", f"{INFO}/METADATA": "Name: gpt-server\nVersion: 1.0\n", f"{INFO}/RECORD": record}
    files |= {f"{INFO}/INSTALLER": "uv", f"{INFO}/direct_url.json": "{}", "gpt_server/__pycache__/a.pyc": ""}
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    with zipfile.ZipFile(pack(PathDistribution(site / INFO), tmp_path)) as wheel:
        assert set(wheel.namelist()) == {"gpt_server/a.py", f"{INFO}/METADATA", f"{INFO}/RECORD"}
        assert wheel.read(f"{INFO}/RECORD").decode() == f"gpt_server/a.py,{ROW}\n{INFO}/METADATA,,\n{INFO}/RECORD,,\n"
        assert wheel.read("gpt_server/a.py") == b"a=1"


def test_environment_without_the_library_is_not_whole(tmp_path: Path) -> None:
    assert engines.find("llm", "fake").is_whole(Path(sys.executable))
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')  # sees the standard library alone
    broken.chmod(0o700)
    assert not engines.find("llm", "hf").is_whole(broken)


def test_failure_of_uv_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing = tmp_path / "uv"
    failing.write_text("#!/bin/sh\nexit 7\n")
    failing.chmod(0o700)
    monkeypatch.setattr(engines, "uv", lambda: str(failing))
    with pytest.raises(EngineProblem, match=r"^uv \w+ .* has failed with exit code 7; see above$"):
        engines.install("hf", tmp_path / "env")


def test_uv_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineProblem, match="install it with: pip install uv"):
        engines.uv()


def test_a_checkout_keeps_its_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert engines.find("llm", "hf").folder == folders.LAUNCHER.parent / ".venvs" / "llm-hf"
    monkeypatch.setattr(folders, "PACKAGED_LOCKS", tmp_path)  # as in an installed wheel
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert engines.find("llm", "hf").folder == tmp_path / "gpt-server" / "engines" / "llm-hf"
    assert folders.locks() == tmp_path


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_lock_is_for_the_device(device: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = tmp_path / "driver"
    if device == "cuda":
        driver.touch()
    monkeypatch.setattr(engines, "NVIDIA_DRIVER", driver)
    calls = []
    monkeypatch.setattr(engines, "our_wheel", lambda folder, uv: folder / "our.whl")
    monkeypatch.setattr(engines, "_uv", lambda *arguments: calls.append(arguments))
    engines.install("vllm", tmp_path / "env")
    engines.install("vllm", tmp_path / "env", device="cpu")
    locks = [step[-1].name for step in calls if step[1] == "sync"]
    assert locks == [f"vllm-{device}.lock", "vllm-cpu.lock"]
