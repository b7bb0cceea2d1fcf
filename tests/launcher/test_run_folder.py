"""What a stack writes down: readable by its owner alone, gone with it, not believed when it is stale."""

import json
import os
import stat
from pathlib import Path

import psutil
import pytest

from gpt_server.launcher.run_folder import RunFolder, running_stacks


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_folder_is_its_owners_and_empty(state: Path) -> None:
    folder = RunFolder.make(8000)
    assert folder.path == state / "gpt-server" / "run-8000"
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    file = folder.write_settings("a-0", {"replica": "a-0"})
    assert file.read_text() == "replica: a-0\n"
    folder.write_json(folder.discovery_file, {"addresses": []})
    assert {path.name for path in folder.path.iterdir()} == {"a-0.yaml", "replicas.json"}
    assert not [*RunFolder.make(8000).path.iterdir()], "what a killed launcher left is removed"
    folder.remove()
    assert not folder.path.exists()


def test_only_stacks_that_run_are_believed(state: Path) -> None:
    launcher = psutil.Process(os.getppid())
    started_s = launcher.create_time()
    lives = {"pid": launcher.pid, "started_s": started_s, "url": "http://here", "children": []}
    RunFolder.make(1).write_stack(lives)
    RunFolder.make(2).write_stack({**lives, "started_s": started_s - 60})  # another had this pid
    RunFolder.make(3).write_stack({**lives, "pid": 2**22 + 1})
    (RunFolder.make(4).path / "stack.json").write_text("{")
    RunFolder.make(5)
    assert [*running_stacks()] == [json.loads(json.dumps(lives))]
