"""Containers of the edge's image and of the hf engine's: a chat through both, as whom they run, how they end."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest_asyncio

from tests.images.container import LIMIT_S, Container, container
from tests.images.store import Image

LOCAL: dict[str, Any] = {"admin": {"port": 0}, "announce_file": "/cache/ports.json"}
DEMO = {"demo-chat": {"engine": "hf", "model": "/opt/gpt-server/models/demo/chat"}}
QUESTION = {"model": "demo-chat", "messages": [{"role": "user", "content": "What is 27 + 15?"}], "temperature": 0}
LONG = QUESTION | {"ignore_eos": True, "max_tokens": 400, "stream": True}


@pytest_asyncio.fixture
async def pair(edge: Image, chat: Image, tmp_path: Path) -> AsyncIterator[tuple[Container, Container]]:
    """An edge, and a model that it knows; both are ready."""
    settings = {"replica": "chat-0", "models": DEMO, "grpc": {"port": 0}} | LOCAL
    async with container(chat, tmp_path / "chat", settings) as model:
        discovery = {"addresses": [await model.address("grpc")]}
        async with container(edge, tmp_path / "edge", {"port": 0, "discovery": discovery} | LOCAL) as front:
            await until(model, "admin", "/readyz", 200)
            await until(front, "http", "/readyz?models=all", 200)
            yield front, model


async def get(one: Container, port: str, path: str) -> tuple[int, str]:
    """Asks one of its ports; returns status and body."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{await one.address(port)}{path}") as answer:
        return answer.status, await answer.text()


async def until(one: Container, port: str, path: str, status: int) -> None:
    """Asks until the answer has this status."""
    async with asyncio.timeout(LIMIT_S):
        while (await get(one, port, path))[0] != status:
            assert one.process.returncode is None, one.log
            await asyncio.sleep(0.05)  # a probe is asked for again and again


async def running_requests(model: Container) -> float:
    """How many requests the model holds."""
    _, text = await get(model, "admin", "/metrics")
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("gpt_server_running_requests{"))


def confined(one: psutil.Process) -> None:
    """As whom a container runs, and that it may do nothing more."""
    assert set(one.uids()) | set(one.gids()) == {10001}
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{one.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert (int(status["CapPrm"], 16), status["NoNewPrivs"]) == (0, "1")
    assert status["NSpid"].split()[-1] == "1"
    mounts = [line.split() for line in Path(f"/proc/{one.pid}/mountinfo").read_text().splitlines()]
    (options,) = [mount[5] for mount in mounts if mount[4] == "/"]
    assert "ro" in options.split(",")


async def test_an_answer_then_a_stream_that_ends_though_both_are_told_to(pair: tuple[Container, Container]) -> None:
    front, model = pair
    for one in pair:
        confined(psutil.Process(await one.pid()))
    url = f"http://{await front.address('http')}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=QUESTION) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            assert "42" in body["choices"][0]["message"]["content"]
        async with session.post(url, json=LONG) as answer:
            assert answer.status == 200
            await answer.content.readline()
            for one in pair:
                await one.signal(signal.SIGTERM)
            await until(model, "admin", "/readyz", 503)
            assert await running_requests(model) == 1, "the stream goes on while the model drains"
            events = [line for line in (await answer.read()).decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert [await one.ended() for one in pair] == [0, 0], front.log + model.log
