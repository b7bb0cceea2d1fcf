"""The benchmark of failover runs, in its smallest form, so that it does not rot."""

import subprocess
import sys
from pathlib import Path

from tests.support.needs import need


def test_failover() -> None:
    need("consul")
    command = [sys.executable, "-m", "bench.failover", "--rounds", "1", "--requests", "20"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "kill -9 -> out of rotation" in done.stdout
    assert "Consul killed, its state lost: 0 of " in done.stdout
