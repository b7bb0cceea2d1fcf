"""A container of the chart as a process of this machine.

Its settings are those of the rendered ConfigMap; only ports, folders and, where a test says so, the engine are others.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.kubernetes.chart import Objects, pod_of, settings_of

LIMIT_S = 120.0  # only so that a failure ends
FAKE: Mapping[str, Any] = {"engine": "fake", "model": "none"}


class Container:
    """A container's process, with the ports that it has announced."""

    def __init__(self, spec: Mapping[str, Any], pod: Mapping[str, Any], process: Any, ports: Mapping[str, Any]) -> None:
        self.spec = spec
        self.process = process
        self.ports = ports
        self.grace_s = pod["terminationGracePeriodSeconds"]

    async def probe(self, name: str) -> bool:
        """Asks as the kubelet does: any status from 200 to 399 is well."""
        probe = self.spec[name]["httpGet"]
        assert probe["port"] == "admin"
        url = f"http://{self.ports['admin']}{probe['path']}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return 200 <= answer.status < 400

    async def until(self, name: str, well: bool) -> None:
        """Probes until the answer is so."""
        async with asyncio.timeout(LIMIT_S):
            while await self.probe(name) != well:
                await asyncio.sleep(0.02)  # a probe is asked for again and again

    async def pre_stop(self) -> None:
        """Runs the command that comes before SIGTERM."""
        command = self.spec["lifecycle"]["preStop"]["exec"]["command"]
        process = await asyncio.create_subprocess_exec(*command)
        assert await process.wait() == 0

    async def terminate(self) -> int:
        """Sends SIGTERM and returns the exit code; there is no other signal within the grace period."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(self.grace_s):
            return int(await self.process.wait())


@asynccontextmanager
async def container(folder: Path, objects: Objects, deployment: str, **changed: Any) -> AsyncIterator[Container]:
    """Runs the container of a Deployment as a process here."""
    pod = pod_of(objects, deployment)
    (spec,) = pod["containers"]
    announce = folder / f"{deployment}.json"
    local = {"announce_file": str(announce), "admin": {"port": 0}} | changed
    file = folder / f"{deployment}.yaml"
    file.write_text(yaml.safe_dump(settings_of(objects, deployment) | local))
    python, *arguments = spec["command"]
    assert python == "python"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments[:-1], str(file)),
        env={**os.environ, "GPT_SERVER_REPLICA": "pod-1"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            while not announce.exists():
                assert process.returncode is None, "the process ended"
                await asyncio.sleep(0.02)  # a file has no event
        yield Container(spec, pod, process, json.loads(announce.read_text()))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
