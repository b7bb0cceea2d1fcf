"""`gpt-server up` with real processes and the fake engine: start, drain, crash, reload."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
import yaml

from tests.support.demo import output_of
from tests.support.raw import events_of, raw_post
from tests.support.stack import RunningStack, alive, gone, stack

FAKE = {"engine": "fake", "model": "none"}


def write(path: Path, models: dict[str, object], **edge: object) -> Path:
    path.write_text(yaml.safe_dump({"edge": {"port": 0, **edge}, "models": models, "drain_timeout_s": 20}))
    return path


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


async def ask(session: aiohttp.ClientSession, url: str, model: str, **fields: object) -> tuple[int, dict[str, object]]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello there"}], **fields}
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


async def answers(session: aiohttp.ClientSession, url: str, model: str, wanted: int = 200) -> None:
    """Waits until `model` is answered with a status."""
    async with asyncio.timeout(60):
        while (await ask(session, url, model))[0] != wanted:
            await asyncio.sleep(0.05)


async def refused(url: str) -> None:
    """Waits until nobody listens there."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()


async def end(running: RunningStack) -> None:
    pids = [child["pid"] for child in running.children().values()]
    running.signal(signal.SIGINT)
    assert await running.ended() == 0
    assert not any(alive(pid) for pid in pids)


async def test_answers_and_drains_a_running_stream(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE}, processes=2)
    async with stack(tmp_path, "-c", str(config)) as running:
        status, body = await ask(session, running.url, "one")
        assert status == 200
        assert "hello there" in json.dumps(body)
        assert {"edge-0", "edge-1", "one-0"} == set(running.children())
        script = {"fake": {"tokens": 60, "token_s": 0.05}}
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with session.post(
            f"{running.url}/v1/chat/completions", json={**body, "chat_template_kwargs": script}
        ) as response:
            await response.content.readline()
            pids = [child["pid"] for child in running.children().values()]
            running.signal(signal.SIGINT)
            await refused(running.url)
            rest = (await response.content.read()).decode()
        assert rest.endswith("data: [DONE]\n\n")
        assert await running.ended() == 0
        assert not any(alive(pid) for pid in pids)
        assert not list((tmp_path / "gpt-server").glob("run-*/*"))


@pytest.mark.parametrize("crashed", ["one-0", "edge-0"])
async def test_crashed_process_comes_back(tmp_path: Path, session: aiohttp.ClientSession, crashed: str) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        before = {name: child["pid"] for name, child in running.children().items()}
        os.kill(before[crashed], signal.SIGKILL)
        said = await running.said(f"{crashed} has ended (SIGKILL)")
        await running.said(f"{crashed} is ready", after=said)
        await answers(session, running.url, "one")
        after = {name: child["pid"] for name, child in running.children().items()}
        assert {name for name in after if after[name] != before[name]} == {crashed}
        await end(running)


@pytest.mark.parametrize("stream", [True, False])
async def test_answer_of_a_killed_service_is_no_answer(
    tmp_path: Path, session: aiohttp.ClientSession, stream: bool
) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}], "stream": stream}
        body["chat_template_kwargs"] = {"fake": {"tokens": 100_000, "token_s": 0.01}}
        async with raw_post(running.url, "/v1/chat/completions", body, read_head=False) as answer:
            if stream:
                await answer.read_head()
                await answer.read_until(b'"content":" ')
            else:
                await slot_is_taken(session, running.children()["one-0"]["admin"])
            os.kill(running.children()["one-0"]["pid"], signal.SIGKILL)
            if stream:
                await answer.read_all()
                assert not answer.complete
                error = events_of(answer.body)[-1]["error"]
            else:
                await answer.read_head()
                assert answer.status == 503
                error = json.loads(await answer.reader.readexactly(int(answer.headers["content-length"])))["error"]
        assert error["code"] == "engine_unavailable"
        await end(running)


async def slot_is_taken(session: aiohttp.ClientSession, admin: str) -> None:
    """Waits until the service's metrics say that a request runs."""
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"http://{admin}/metrics") as response:
                if 'running_requests{engine="fake",model="one"} 1.0' in await response.text():
                    return
            await asyncio.sleep(0.02)


async def test_nothing_outlives_a_killed_launcher(tmp_path: Path) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        pids = [child["pid"] for child in running.children().values()]
        assert all(alive(pid) for pid in pids)
        running.signal(signal.SIGKILL)
        for pid in pids:
            await gone(pid)


async def test_second_signal_stops_at_once(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        body = {"model": "one", "messages": [{"role": "user", "content": "x"}], "stream": True}
        script = {"fake": {"tokens": 100_000, "token_s": 0.05}}
        async with session.post(
            f"{running.url}/v1/chat/completions", json={**body, "chat_template_kwargs": script}
        ) as response:
            await response.content.readline()
            running.signal(signal.SIGINT)
            await running.said("draining")
            running.signal(signal.SIGINT)
            assert await running.ended() == 0
            with pytest.raises(aiohttp.ClientError):
                await response.content.read()


async def test_reload_touches_only_what_changed(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE, "two": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        one = running.children()["one-0"]["pid"]
        write(config, {"one": FAKE, "three": FAKE})
        running.signal(signal.SIGHUP)
        await running.said("1 ended, 1 started")
        await answers(session, running.url, "three")
        await answers(session, running.url, "two", wanted=404)
        assert running.children()["one-0"]["pid"] == one

        config.write_text("models: {one: {engine: fake, model: x, nonsense: 1}}")
        running.signal(signal.SIGHUP)
        await running.said("the changed configuration is not used")
        assert (await ask(session, running.url, "three"))[0] == 200
        assert psutil.Process(one).is_running()
        await end(running)


async def test_process_that_cannot_start_after_a_reload_stops_nobody_else(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        two = {"two": {**FAKE, "local": {"port": taken.getsockname()[1]}}}
        async with stack(tmp_path, "-c", str(config)) as running:
            write(config, {"one": FAKE, **two})
            running.signal(signal.SIGHUP)
            await running.said("two-0 cannot run with its settings")
            assert (await ask(session, running.url, "one"))[0] == 200
            taken.close()
            running.signal(signal.SIGHUP)
            await running.said("two-0 is ready")
            await answers(session, running.url, "two")
            await end(running)


async def test_process_that_cannot_start_at_first_ends_the_stack(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write(tmp_path / "a.yaml", {"one": {**FAKE, "local": {"port": port}}})
        async with stack(tmp_path, "-c", str(config), ready=False) as running:
            assert await running.ended() == 2
            assert f"127.0.0.1:{port}" in running.output


async def test_stops_in_the_middle_of_a_reload(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE, "two": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        script = {"fake": {"tokens": 100_000, "token_s": 0.05}}
        body = {"model": "two", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with session.post(
            f"{running.url}/v1/chat/completions", json={**body, "chat_template_kwargs": script}
        ) as response:
            await response.content.readline()
            write(config, {"one": FAKE})
            running.signal(signal.SIGHUP)
            await running.said("draining: 1 calls in flight")  # `two` has to end, and a stream holds it
            running.signal(signal.SIGINT)
            await running.said("press Ctrl-C again")
            running.signal(signal.SIGINT)
            assert await running.ended() == 0


async def test_model_that_loads_answers_503_not_404(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    slow = {**FAKE, "engine_args": {"load_s": 3600}}
    config = write(tmp_path / "a.yaml", {"fast": FAKE, "slow": slow})
    async with stack(tmp_path, "-c", str(config), ready=False) as running:
        await running.said("fast-0 is ready")
        await running.said("slow-0 loading (fake, ")
        async with asyncio.timeout(60):
            while "http" not in running.children()["edge-0"]:
                await asyncio.sleep(0.05)
        url = f"http://{running.children()['edge-0']['http']}"
        await answers(session, url, "fast")
        status, body = await ask(session, url, "slow")
        assert status == 503
        assert body["error"]["code"] == "model_loading"  # type: ignore[index]
        assert (await ask(session, url, "other"))[0] == 404
        await end(running)


async def test_models_share_a_process(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    shared = {**FAKE, "local": {"process": "small"}}
    config = write(tmp_path / "a.yaml", {"one": shared, "two": {**shared, "names": ["zwei", "deux"]}})
    async with stack(tmp_path, "-c", str(config)) as running:
        assert set(running.children()) == {"edge-0", "small-0"}
        for name in ("one", "zwei", "deux"):
            assert (await ask(session, running.url, name))[0] == 200
        await end(running)


async def test_doctor_and_models_know_what_runs(tmp_path: Path) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        port = int(running.url.rpartition(":")[2])
        gpt_server = ("env", f"XDG_STATE_HOME={tmp_path}", sys.executable, "-m", "gpt_server.launcher")
        models = await output_of(*gpt_server, "models", "-c", str(config))
        grpc = running.children()["one-0"]["grpc"]
        assert re.search(rf"Running on {running.url}:\n  one-0 +one ready  gRPC {grpc}  [1-9]\d* MiB\n", models)
        write(config, {"one": FAKE}, port=port)
        doctor = await output_of(*gpt_server, "doctor", "-c", str(config))
        assert f"a stack runs on {running.url} (launcher pid {running.process.pid})" in doctor
        assert re.search(rf"one-0: 0\.\d\d GiB, grpc {grpc}, admin 127", doctor)
        assert f"port {port} is the one of the running stack" in doctor
        await end(running)


async def test_port_is_taken(tmp_path: Path) -> None:
    config = write(tmp_path / "a.yaml", {"one": FAKE})
    async with stack(tmp_path, "-c", str(config)) as running:
        port = running.url.rpartition(":")[2]
        async with stack(tmp_path / "other", "-c", str(config), "--port", port, ready=False) as second:
            assert await second.ended() == 2
            (line,) = second.lines
            assert line.startswith(f"gpt-server: port {port} on 127.0.0.1 is taken by python")
        await end(running)
