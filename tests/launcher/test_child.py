"""A child of the launcher, with small scripts in the place of services: starts, crashes, ends."""

import asyncio
import io
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gpt_server.launcher import child as children
from gpt_server.launcher.child import BAD_SETTINGS, Child, pause_after
from gpt_server.launcher.console import Console
from gpt_server.launcher.plan import Process
from gpt_server.launcher.run_folder import RunFolder

SERVES = """
import http.server, json, os, sys, yaml
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        ready = os.path.exists("ready")
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"ready": ready, "models": {}}).encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
file = yaml.safe_load(open(sys.argv[-1]))["announce_file"]
with open(file + ".new", "w") as out:
    json.dump({"grpc": "here:1", "admin": "127.0.0.1:%d" % server.server_port, "pid": os.getpid()}, out)
os.rename(file + ".new", file)
server.serve_forever()
"""
STAYS = "import signal; print('here', flush=True); signal.pause()"


class Watched:
    """A child, what it and the launcher have said, and its changes as something to wait for."""

    def __init__(self, folder: Path, script: str) -> None:
        program = folder / "stub"
        program.write_text(f"#!{sys.executable}\nimport os; os.chdir({str(folder)!r})\n{script}")
        program.chmod(0o700)
        self.out = io.StringIO()
        self.run_folder = RunFolder.make(1)
        self.child = Child(Process("stub", str(program), "x", {}), self.run_folder, Console(self.out), self._changed)
        self._change = asyncio.Event()

    def start(self) -> asyncio.Task[None]:
        settings = {"announce_file": str(self.run_folder.announce_file("stub"))}
        return asyncio.create_task(self.child.run(settings))

    def _changed(self) -> None:
        self._change.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until the child's attributes are as wanted."""
        async with asyncio.timeout(60):
            while not holds():
                self._change.clear()
                await self._change.wait()

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in self.out.getvalue():
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(children, "SHORTEST_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def child_watcher() -> None:
    if sys.version_info < (3, 12):
        asyncio.get_event_loop_policy().set_child_watcher(asyncio.PidfdChildWatcher())


async def test_ports_are_known_first_and_readiness_follows(tmp_path: Path) -> None:
    stub = Watched(tmp_path, SERVES)
    running = stub.start()
    await stub.until(lambda: bool(stub.child.ports))
    assert stub.child.ports["grpc"] == "here:1"
    assert stub.child.ports["pid"] == stub.child.pid
    assert not stub.child.ready
    (tmp_path / "ready").touch()
    await stub.until(lambda: stub.child.ready)
    stub.child.stop()
    await running
    assert not stub.child.ready
    assert (stub.child.pid, stub.child.ports) == (None, {})


async def test_crashed_child_starts_again(tmp_path: Path) -> None:
    once = "if not os.path.exists('again'): open('again', 'w').close(); print('bad day'); sys.exit(3)"
    stub = Watched(tmp_path, f"import os, sys\n{once}\n{STAYS}")
    running = stub.start()
    await stub.until_said("stub       │ here")
    lines = stub.out.getvalue().splitlines()
    assert lines[0] == "stub       │ bad day"
    assert lines[1] == "gpt-server │ stub has ended (a model failed to load); starting it again in 0.01 s"
    stub.child.stop()
    await running


async def test_wrong_settings_are_final(tmp_path: Path) -> None:
    stub = Watched(tmp_path, f"import sys; print('port: is taken'); sys.exit({BAD_SETTINGS})")
    await stub.start()
    assert stub.child.exit_code == BAD_SETTINGS
    assert stub.out.getvalue() == (
        "stub       │ port: is taken\ngpt-server │ stub cannot run with its settings; it is not started again\n"
    )


async def test_interpreter_that_is_not_there(tmp_path: Path) -> None:
    stub = Watched(tmp_path, STAYS)
    (tmp_path / "stub").unlink()
    running = stub.start()
    await stub.until_said(f"stub cannot be started: {tmp_path}/stub: No such file or directory")
    stub.child.stop()
    await running


@pytest.mark.parametrize("end", [Child.kill, lambda child: psutil.Process(child.pid).kill()], ids=["killed", "crashed"])
async def test_what_a_child_has_started_ends_with_it(tmp_path: Path, end: Callable[[Child], None]) -> None:
    """It holds the child's output open, too: the end of the child is noticed all the same."""
    stub = Watched(
        tmp_path, f"import os\nif pid := os.fork(): print('grandchild', pid, flush=True)\nimport signal; {STAYS}"
    )
    running = stub.start()
    await stub.until_said("grandchild")
    await stub.until_said("here")
    (line,) = [line for line in stub.out.getvalue().splitlines() if "grandchild" in line]
    grandchild = psutil.Process(int(line.split()[-1]))
    end(stub.child)
    async with asyncio.timeout(60):
        while grandchild.is_running() and grandchild.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)
    stub.child.kill()
    await running


async def test_stop_in_the_middle_of_a_start(tmp_path: Path) -> None:
    stub = Watched(tmp_path, STAYS)
    running = stub.start()
    await asyncio.sleep(0)  # it has begun to start the process, and no more
    assert stub.child.pid is None
    stub.child.stop()
    async with asyncio.timeout(60):
        await running


async def test_stop_while_it_waits_to_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SHORTEST_PAUSE_S", 3600)
    stub = Watched(tmp_path, "raise SystemExit(4)")
    running = stub.start()
    await stub.until_said("its engine died")
    stub.child.stop()
    async with asyncio.timeout(60):
        await running


async def test_output_is_told_line_by_line(tmp_path: Path) -> None:
    stub = Watched(tmp_path, "print(' 10%\\r 99%\\r100%\\nx' + 'y' * 40_000, end=''); raise SystemExit(2)")
    await stub.start()
    first, *rest = stub.out.getvalue().splitlines()
    assert first == "stub       │ 100%"
    assert sum(line.count("y") for line in rest) == 40_000


def test_pauses_double_and_start_over_after_a_healthy_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SHORTEST_PAUSE_S", 1.0)
    pauses = [0.0]
    for _ in range(7):
        pauses.append(pause_after(pauses[-1], lived_s=59))
    assert pauses[1:] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_after(30, lived_s=60) == 1
