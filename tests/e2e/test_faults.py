"""Replicas that die, hang or cannot be reached, as real processes behind a real edge: what callers see of it."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gpt_server.edge.replica import Replica
from gpt_server.edge.routing import rendezvous
from tests.edge.asking import chat
from tests.services.test_process import running
from tests.support.edge import RunningEdge, edge_server
from tests.support.needs import need, unavailable
from tests.support.raw import events_of, raw_post

LIMIT_S = 60.0  # only so that a failure ends
PATH = "/v1/chat/completions"
KEEPALIVE = {"keepalive_s": 2.0, "keepalive_timeout_s": 1.0}
HANDS = ("10.213.77.1", "10.213.77.2")


@dataclass
class Pair:
    """Two replicas, each its process, and an edge."""

    edge: RunningEdge
    http: httpx2.AsyncClient
    pids: dict[str, int]

    def replica(self, address: str) -> Replica:
        """What the edge knows of one."""
        return next(replica for replica in self.edge.edge.replicas if replica.address == address)

    def session_of(self, address: str) -> str:
        """A `session_id` whose requests go to this replica while it has no more load than the other."""
        candidates = [replica.candidate("fake-chat") for replica in self.edge.edge.replicas]
        return next(key for key in map(str, range(1000)) if rendezvous(candidates, key) == address)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until the edge sees it so."""
        async with asyncio.timeout(LIMIT_S):
            await self.edge.edge.replicas.until(condition)

    async def ask(self, *, headers: Any = None, **fields: Any) -> httpx2.Response:
        """Sends a chat request."""
        return await self.http.post(PATH, json=chat(**fields), headers=headers, timeout=LIMIT_S)


@asynccontextmanager
async def pair(folder: Path, host: str = "127.0.0.1", inside: Sequence[str] = ()) -> AsyncIterator[Pair]:
    """Runs the pair; the first replica listens on `host`, started by the command `inside`."""
    async with AsyncExitStack() as stack:
        pids = {}
        for number, (where, command) in enumerate(((host, inside), ("127.0.0.1", ()))):
            home = folder / str(number)
            home.mkdir()
            process = running(home, inside=command, replica=f"r-{number}", grpc={"host": where})
            child, announced = await stack.enter_async_context(process)
            pids[announced["grpc"]] = child.pid
        edge = await stack.enter_async_context(edge_server(list(pids), channel=KEEPALIVE))
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=edge.url))
        yield Pair(edge, http, pids)


async def test_kill_9_costs_no_request_that_has_seen_nothing(tmp_path: Path) -> None:
    """A stream that has begun ends with an error event; every other request is answered by the other replica."""
    async with pair(tmp_path) as both:
        victim, _ = both.pids
        begun = chat(stream=True, session_id=both.session_of(victim), fake={"tokens": 100_000, "token_s": 0.01})
        async with raw_post(both.edge.url, PATH, begun) as stream:
            await stream.read_until(b"beta")
            waiting = [
                asyncio.create_task(both.ask(session_id=both.session_of(victim), fake={"prefill_s": 3.0}, stream=each))
                for each in (False, True) * 4
            ]
            await both.until(lambda: both.replica(victim).in_flight > 1)
            os.kill(both.pids[victim], signal.SIGKILL)
            await stream.read_all()
            assert not stream.complete
            assert events_of(stream.body)[-1]["error"]["code"] == "engine_unavailable"
            answers = await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S)
        assert [answer.status_code for answer in answers] == [200] * 8
        assert all("[DONE]" in answer.text for answer in answers[1::2])
        await both.until(lambda: not both.replica(victim).watched)
        assert [replica.in_flight for replica in both.edge.edge.replicas] == [0, 0]
        assert (
            both.edge.edge.telemetry.registry.get_sample_value(
                "gpt_server_edge_requests_in_flight", {"model": "fake-chat"}
            )
            == 0
        )


async def test_a_replica_that_hangs(tmp_path: Path) -> None:
    """Deadlines hold; what it has not begun to answer, another answers; new requests leave it alone; it comes back."""
    async with pair(tmp_path) as both:
        victim, other = both.pids
        session = both.session_of(victim)
        os.kill(both.pids[victim], signal.SIGSTOP)
        try:
            late = await both.ask(session_id=session, headers={"x-request-timeout": "0.3"})
            assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
            assert (await both.ask(session_id=session)).status_code == 200, "repeated when the connection is found dead"
            await both.until(lambda: not both.replica(victim).watched)
            assert (await both.ask(session_id=session)).status_code == 200
            assert both.replica(victim).in_flight == 0
        finally:
            os.kill(both.pids[victim], signal.SIGCONT)
        await both.until(lambda: both.replica(victim).watched)
        assert (await both.ask(session_id=session)).status_code == 200
        assert both.replica(other).watched


@pytest.fixture
def network() -> Iterator[tuple[Sequence[str], Callable[[str], None]]]:
    """A network namespace behind a virtual cable: the command that starts a program in it; the cable (`up`, `down`)."""
    ip = need("ip")
    name, ours, theirs = f"gpt-{os.getpid()}", f"gpo{os.getpid()}"[:15], f"gpi{os.getpid()}"[:15]

    def run(*words: str) -> None:
        done = subprocess.run([ip, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            unavailable(f"network namespaces cannot be made here: ip {' '.join(words)}: {done.stderr.strip()}")

    run("netns", "add", name)
    try:
        run("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        run("addr", "add", f"{HANDS[0]}/30", "dev", ours)
        run("link", "set", ours, "up")
        run("-n", name, "addr", "add", f"{HANDS[1]}/30", "dev", theirs)
        run("-n", name, "link", "set", theirs, "up")
        run("-n", name, "link", "set", "lo", "up")
        yield (ip, "netns", "exec", name), lambda state: run("-n", name, "link", "set", theirs, state)
    finally:
        subprocess.run([ip, "netns", "del", name], capture_output=True, check=False)


async def test_a_network_that_is_cut(tmp_path: Path, network: tuple[Sequence[str], Callable[[str], None]]) -> None:
    """Nothing comes back, not even a refusal: the edge notices by its keepalive, and the other replica serves."""
    inside, cable = network
    async with pair(tmp_path, HANDS[1], inside) as both:
        victim, other = both.pids
        assert victim.startswith(HANDS[1])
        session = both.session_of(victim)
        assert (await both.ask(session_id=session)).status_code == 200
        begun = chat(stream=True, session_id=session, fake={"tokens": 100_000, "token_s": 0.01})
        async with raw_post(both.edge.url, PATH, begun) as stream:
            await stream.read_until(b"beta")
            assert both.replica(victim).in_flight == 1
            waiting = asyncio.create_task(both.ask(session_id=session, fake={"prefill_s": 3.0}))
            await both.until(lambda: both.replica(victim).in_flight + both.replica(other).in_flight == 2)
            cable("down")
            assert (await asyncio.wait_for(waiting, LIMIT_S)).status_code == 200
            await stream.read_all()
            assert not stream.complete
            assert events_of(stream.body)[-1]["error"]["code"] == "engine_unavailable"
        await both.until(lambda: not both.replica(victim).watched)
        assert [replica.in_flight for replica in both.edge.edge.replicas] == [0, 0]
        assert (await both.ask(session_id=session)).status_code == 200
        cable("up")
        await both.until(lambda: both.replica(victim).watched)
