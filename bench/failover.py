"""How soon an edge knows: a replica that was killed, one that has become ready; and what a Consul that goes away costs.

A real Consul agent, replicas as processes of their own (engine `fake`), the edge in this process, so that the moment is
seen at which a replica enters and leaves rotation. Run it as `make bench-cluster`.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bench.report import as_table
from gpt_server.common.v1.model_service_pb2 import MODEL_STATE_READY, WatchRequest
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.edge.channels import Channels
from gpt_server.edge.config import ChannelSettings
from tests.cluster.agent import Agent, agent
from tests.cluster.load import CHATS, STREAMS, ask, load
from tests.support.edge import RunningEdge, edge_server

READY, FIRST, OUT = "ready -> in rotation", "ready -> first answer", "kill -9 -> out of rotation"
CRITICAL = "kill -9 -> critical in Consul"
MEASURED = (READY, FIRST, OUT, CRITICAL)
Figures = dict[str, list[float]]
FRESH = ("/v1/chat/completions", {"model": "fresh", "messages": [{"role": "user", "content": "x"}]})


@asynccontextmanager
async def replica(folder: Path, consul: Agent, name: str) -> AsyncIterator[tuple[int, str]]:
    """Runs a replica that serves a model of its own name; yields its pid and gRPC address once its ports are open."""
    announced, file = folder / f"{name}.json", folder / f"{name}.yaml"
    announced.unlink(missing_ok=True)
    settings: dict[str, Any] = {
        "replica": name,
        "models": {name: {"engine": "fake", "model": "none", "engine_args": {"load_s": 2.0}}},
        "consul": {"address": consul.address},
        "announce_file": str(announced),
    }
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = (sys.executable, "-m", "gpt_server.services.llm", "--config", str(file))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        while not announced.exists():  # noqa: ASYNC110 (another process writes it)
            await asyncio.sleep(0.005)
        ports = json.loads(announced.read_text(encoding="utf-8"))
        yield ports["pid"], ports["grpc"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def says_ready(address: str) -> float:
    """Returns when a replica says that its models are ready, by the monotonic clock."""
    async with Channels(ChannelSettings()).open(address) as channel:
        async for picture in ModelServiceStub(channel).Watch(WatchRequest()):
            if all(model.state == MODEL_STATE_READY for model in picture.models):
                return time.monotonic()
    raise RuntimeError("the replica has ended")


async def in_rotation(edge: RunningEdge, wanted: bool) -> float:
    """Returns when the edge begins, or ceases, to send requests for the model `fresh`."""
    replicas = edge.edge.replicas
    await replicas.until(lambda: any(one.serves("fresh") for one in replicas) == wanted)
    return time.monotonic()


async def measure(folder: Path, consul: Agent, edge: RunningEdge, figures: Figures) -> None:
    """Starts a replica and kills it."""
    async with (
        replica(folder, consul, "fresh") as (pid, address),
        aiohttp.ClientSession(edge.url) as session,
    ):
        ready_s, rotation_s = await asyncio.gather(says_ready(address), in_rotation(edge, True))
        if wrong := await ask(session, *FRESH):
            raise RuntimeError(wrong)
        figures[READY].append(rotation_s - ready_s)
        figures[FIRST].append(time.monotonic() - ready_s)
        await consul.entries("gpt-server-llm", lambda found: found["fresh"]["Status"] == "passing")
        killed_s = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        figures[OUT].append(await in_rotation(edge, False) - killed_s)
        await consul.entries("gpt-server-llm", lambda found: found["fresh"]["Status"] == "critical")
        figures[CRITICAL].append(time.monotonic() - killed_s)
        await consul.put("/v1/agent/service/deregister/fresh")


async def restart(consul: Agent, edge: RunningEdge, requests: int) -> str:
    """Kills the agent and starts it again while requests run; once with its state, once without."""
    lines = []
    for forget in (False, True):
        async with load(edge.url, 4, (CHATS, STREAMS)) as tally:
            await tally.more(requests)
            await consul.kill(forget=forget)
            await tally.more(requests)
            await consul.start()
            await consul.lead()
            await consul.entries("gpt-server-llm", lambda found: "chat" in found)
            await tally.more(requests)
        state = "its state lost" if forget else "restarted"
        lines.append(f"Consul killed, {state}: {len(tally.failures)} of {tally.answered} requests failed")
    return "\n".join(lines)


async def run(rounds: int, requests: int) -> None:
    """Prints the times of `rounds` replicas, and what became of requests while Consul was away."""
    figures: Figures = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with (
            agent(folder / "agent") as consul,
            edge_server(consul={"address": consul.address}) as edge,
            replica(folder, consul, "chat"),
        ):
            await edge.edge.replicas.until(lambda: any(one.serves("chat") for one in edge.edge.replicas))
            for _ in range(rounds):
                await measure(folder, consul, edge, figures)
            print(as_table({name: _summary(times_s) for name, times_s in figures.items()}))
            print(await restart(consul, edge, requests))


def _summary(times_s: Sequence[float]) -> dict[str, float]:
    return {
        "median_ms": statistics.median(times_s) * 1e3,
        "least_ms": min(times_s) * 1e3,
        "most_ms": max(times_s) * 1e3,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="replicas that are started and killed")
    parser.add_argument("--requests", type=int, default=200, help="before, while and after Consul is away")
    flags = parser.parse_args()
    logging.getLogger("gpt_server").setLevel(logging.ERROR)  # that Consul is away is what is wanted
    asyncio.run(run(flags.rounds, flags.requests))


if __name__ == "__main__":
    main()
