"""A hub id, offline: the model lies in the hub's cache, as a download leaves it there."""

import signal
from pathlib import Path

import aiohttp
import yaml

from tests.support.stack import stack

MODEL = Path(__file__).parents[2] / "models" / "demo" / "chat"


async def test_model_is_found_in_the_cache_without_a_network(tmp_path: Path) -> None:
    cached = tmp_path / "home" / "hub" / "models--acme--tiny"
    snapshot = cached / "snapshots" / "0123456789012345678901234567890123456789"
    snapshot.mkdir(parents=True)
    for file in MODEL.iterdir():
        (snapshot / file.name).symlink_to(file)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(snapshot.name)
    config = {
        "edge": {"port": 0},
        "hub": {"home": "home", "offline": True},
        "models": {"tiny": {"engine": "hf", "model": "acme/tiny", "names": ["acme/tiny"]}},
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config))
    async with (
        stack(tmp_path, "-c", str(tmp_path / "a.yaml")) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        async with session.get("/v1/models/acme%2Ftiny") as response:
            assert (await response.json())["id"] == "acme/tiny"
        body = {"model": "acme/tiny", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5}
        async with session.post("/v1/chat/completions", json=body) as response:
            assert (await response.json())["usage"]["completion_tokens"] >= 1
        running.signal(signal.SIGINT)
        assert await running.ended() == 0
