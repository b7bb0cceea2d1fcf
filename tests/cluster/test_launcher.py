"""`gpt-server up --consul`: an agent of the stack's own."""

import os
import signal
from pathlib import Path

import aiohttp
import yaml

from gpt_server.launcher import doctor
from gpt_server.launcher.config import check
from gpt_server.launcher.yaml_file import YamlFile
from tests.cluster.load import CHAT, ask
from tests.support.needs import need
from tests.support.stack import alive, stack


async def test_agent_is_started_restarted_and_ended_with_the_stack(tmp_path: Path) -> None:
    need("consul")
    content = {"edge": {"port": 0}, "models": {"chat": {"engine": "fake", "model": "none"}}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    async with (
        stack(tmp_path, "-c", str(tmp_path / "a.yaml"), "--consul") as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        assert not await ask(session, "/v1/chat/completions", {"model": "chat", **CHAT})
        consul = running.children()["consul"]
        address = f"http://{consul['http']}"
        config = check(YamlFile(None, {**content, "consul": {"address": address}}, {}))
        (finding,) = await doctor._consul(config)
        assert finding.text.startswith(f"Consul at {address} answers; its leader is 127.0.0.1:")

        os.kill(consul["pid"], signal.SIGKILL)
        line = await running.said("consul has ended (SIGKILL)")
        assert not await ask(session, "/v1/chat/completions", {"model": "chat", **CHAT})
        await running.said("consul is ready", after=line)
        pids = [child["pid"] for child in running.children().values()]
        running.signal(signal.SIGINT)
        assert await running.ended() == 0
        assert not any(alive(pid) for pid in pids)
