"""A container of an image: run by crun, an OCI runtime, as the image's own configuration says.

Its root file system is read-only, it has no capabilities and cannot get any, and it is process 1 of its own. The
network is this machine's.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.images.store import Image
from tests.support.needs import need

LIMIT_S = 240.0  # only so that a failure ends
# crun 1.8 does not know the mixture of control groups that some machines have; it needs none of them here.
PLAIN = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'


class Container:
    """A running container; `cache` is what it sees as /cache."""

    def __init__(self, name: str, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.folder = folder
        self.cache = folder / "cache"
        self.process = process

    @property
    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text(encoding="utf-8")

    async def address(self, port: str) -> str:
        """Waits until it has announced its ports, and returns one of them as `host:port`."""
        file = self.cache / "ports.json"
        async with asyncio.timeout(LIMIT_S):
            while not file.exists():
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.02)  # a file has no event
        return str(json.loads(file.read_text(encoding="utf-8"))[port])

    async def pid(self) -> int:
        """Process 1 of the container, as this machine numbers it."""
        state = await self._crun("state", self.name)
        return int(json.loads(state)["pid"])

    async def signal(self, number: signal.Signals) -> None:
        """Signals process 1, as `docker stop` and the kubelet do."""
        await self._crun("kill", self.name, str(number.value))

    async def ended(self) -> int:
        """Waits for its end and returns the exit code."""
        async with asyncio.timeout(LIMIT_S):
            return await self.process.wait()

    async def _crun(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", PLAIN, "sh"),
            *(need("crun"), "--root", str(self.folder / "state"), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
        return printed.decode()


@asynccontextmanager
async def container(
    image: Image, folder: Path, settings: Mapping[str, Any], command: tuple[str, ...] | None = None
) -> AsyncIterator[Container]:
    """Runs an image with a settings file in /config and an empty /cache of its user, and leaves nothing running.

    `command` stands in for the image's own.
    """
    for name in ("cache", "config", "state"):
        (folder / name).mkdir(parents=True)
    os.chown(folder / "cache", *_user(image))
    (folder / "config" / Path(image.config["Cmd"][-1]).name).write_text(yaml.safe_dump(dict(settings)))
    (folder / "config.json").write_text(json.dumps(_bundle(image, folder, command)))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", PLAIN, "sh", need("crun"), "--root", str(folder / "state")),
            *("--cgroup-manager=disabled", "run", "--bundle", str(folder), folder.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = Container(folder.name, folder, process)
    try:
        yield running
    finally:
        if process.returncode is None:
            await running.signal(signal.SIGKILL)
            await running.ended()


def _user(image: Image) -> tuple[int, int]:
    user, group = image.config["User"].split(":")
    return int(user), int(group)


def _bundle(image: Image, folder: Path, command: tuple[str, ...] | None) -> dict[str, Any]:
    """The configuration of the OCI runtime specification, from that of the image."""
    user, group = _user(image)
    config = image.config
    threads = "OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=PASSIVE"
    return {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": list(command or config["Entrypoint"] + config["Cmd"]),
            "env": [*config["Env"], *threads],
            "cwd": config["WorkingDir"],
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/cache", "type": "bind", "source": str(folder / "cache"), "options": ["bind"]},
            {"destination": "/config", "type": "bind", "source": str(folder / "config"), "options": ["bind", "ro"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]},
    }
