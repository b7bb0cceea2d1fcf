"""The edge as a process: its settings, its ports, its end."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from gpt_server.edge.__main__ import main
from gpt_server.edge.serving import address_of, listen
from tests.edge.asking import chat
from tests.edge.stub import STARTED, Stub, finished, text
from tests.support.raw import raw_post

LIMIT_S = 60.0  # only so that a failure ends


async def spawn(*arguments: str, **how: Any) -> asyncio.subprocess.Process:
    """Starts an edge."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gpt_server.edge", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **how,
    )


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Runs what must end before it serves, in this process; returns exit code, output and errors."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


class Running:
    """An edge process that has announced its ports."""

    def __init__(self, edge: asyncio.subprocess.Process, announced: dict[str, Any]) -> None:
        self.edge = edge
        self.announced = announced
        self.url, self.admin = (f"http://{announced[name]}" for name in ("http", "admin"))

    async def stop(self) -> tuple[int | None, str]:
        """Sends SIGTERM; returns exit code and log."""
        self.edge.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(self.edge.communicate(), LIMIT_S)
        return self.edge.returncode, err.decode()


@asynccontextmanager
async def running(folder: Path, settings: dict[str, Any], **how: Any) -> AsyncIterator[Running]:
    """Runs an edge with a settings file until the block ends."""
    announce = folder / "announced.json"
    file = folder / "edge.yaml"
    file.write_text(yaml.safe_dump({"port": 0, "announce_file": str(announce)} | settings))
    edge = await spawn("--config", str(file), **how)
    try:
        async with asyncio.timeout(LIMIT_S):
            while not announce.exists():
                assert edge.returncode is None, (await edge.communicate())[1].decode()
                await asyncio.sleep(0.02)  # a file has no event
        yield Running(edge, json.loads(announce.read_text()))
    finally:
        if edge.returncode is None:
            edge.kill()
            await edge.communicate()


async def test_it_answers_and_drains(tmp_path: Path, stub: Stub) -> None:
    """SIGTERM: no new connection, what runs is finished, exit code 0."""
    go_on = asyncio.Event()

    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[Any]:
        yield STARTED
        yield text("before")
        await go_on.wait()
        yield text("after")
        yield finished()

    stub.play = play
    async with running(tmp_path, {"discovery": {"addresses": [stub.address]}}) as edge:
        assert edge.announced["pid"] == edge.edge.pid
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{edge.url}/health")).status_code == 200
            assert (await client.get(f"{edge.admin}/livez")).status_code == 200
            while (await client.get(f"{edge.admin}/readyz?models=all")).json()["models"] != {"m": "ready"}:
                await asyncio.sleep(0.02)
            metrics = (await client.get(f"{edge.admin}/metrics")).text
            assert 'gpt_server_edge_requests_total{key_name="",model="",reason="ok"}' in metrics
        async with raw_post(edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as answer:
            await answer.read_until(b"before")
            edge.edge.send_signal(signal.SIGTERM)
            async with httpx2.AsyncClient() as client, asyncio.timeout(LIMIT_S):
                while (await client.get(f"{edge.admin}/readyz")).status_code != 503:
                    await asyncio.sleep(0.02)
            async with asyncio.timeout(LIMIT_S):
                while await accepts(edge.announced["http"]):
                    await asyncio.sleep(0.02)
            go_on.set()
            body = await answer.read_all()
            assert b"after" in body
            assert body.endswith(b"data: [DONE]\n\n")
        _, err = await asyncio.wait_for(edge.edge.communicate(), LIMIT_S)
    assert edge.edge.returncode == 0
    assert "Traceback" not in err.decode()
    assert "model=m" in err.decode()
    assert "hello big world" not in err.decode()


async def accepts(address: str) -> bool:
    """Whether somebody listens at an address."""
    try:
        _, writer = await asyncio.open_connection(*address.split(":"))
    except OSError:
        return False
    writer.transport.abort()
    return True


async def test_what_does_not_end_is_cut_off(tmp_path: Path, stub: Stub) -> None:
    async def play(stub: Stub, request: Any, context: Any) -> AsyncIterator[Any]:
        yield STARTED
        yield text("before")
        await asyncio.Event().wait()

    stub.play = play
    settings = {"discovery": {"addresses": [stub.address]}, "drain_timeout_s": 0.1}
    async with running(tmp_path, settings) as edge:
        async with httpx2.AsyncClient() as client:
            while (await client.get(f"{edge.admin}/readyz")).json()["models"] != {"m": "ready"}:
                await asyncio.sleep(0.02)
        async with raw_post(edge.url, "/v1/chat/completions", chat(model="m", stream=True)) as answer:
            await answer.read_until(b"before")
            code, log = await edge.stop()
            await answer.read_all()
            assert not answer.complete
            assert b"[DONE]" not in answer.body
    assert code == 0
    assert "Traceback" not in log


async def test_an_inherited_socket(tmp_path: Path) -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    fd = listener.fileno()
    async with running(tmp_path, {"fd": fd, "host": "ignored"}, pass_fds=[fd]) as edge:
        listener.close()
        assert edge.announced["http"] == f"127.0.0.1:{port}"
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{edge.url}/health")).status_code == 200
        assert (await edge.stop())[0] == 0


async def test_a_json_log(tmp_path: Path) -> None:
    async with running(tmp_path, {"log": {"format": "json"}}) as edge:
        async with httpx2.AsyncClient() as client:
            await client.get(f"{edge.url}/version", headers={"x-request-id": "mine-1"})
        _, log = await edge.stop()
    lines = [json.loads(line) for line in log.splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "mine-1"]
    assert (line["level"], line["message"], line["status"]) == ("info", "GET /version", 200)


async def test_plain_http_on_the_network_is_said_loudly(tmp_path: Path) -> None:
    async with running(tmp_path, {"host": "0.0.0.0", "allow_unauthenticated": True}) as edge:
        _, log = await edge.stop()
    assert "is PLAIN HTTP beyond this machine" in log


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    code, _, err = ended(capsys, "--port", str(port))
    listener.close()
    assert code == 2
    assert err.splitlines() == [f"port: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_an_open_door(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ended(capsys, "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    (line,) = err.splitlines()
    assert "no API keys are set" in line


def test_an_open_door_that_was_inherited(capsys: pytest.CaptureFixture[str]) -> None:
    listener = listen("0.0.0.0", 0)
    code, _, err = ended(capsys, "--fd", str(listener.detach()))
    assert code == 2
    assert err.startswith("fd: host 0.0.0.0 can be reached")


def test_a_descriptor_that_is_no_socket(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ended(capsys, "--fd", "9999")
    assert (code, err) == (2, "fd: 9999 is not a socket: Bad file descriptor\n")


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        ("prot: 1", "prot", "unknown key; allowed: host, port"),
        ("media: {max_byte: 1}", "media.max_byte", "unknown key; allowed: max_bytes"),
        ("channel: {tls: {ca: x}}", "channel.tls.ca", "unknown key; allowed: ca_file"),
        ("channel: {tls: {key_file: KEYS}}", "channel.tls", "cert_file and key_file belong together"),
        ("port: 70000", "port", "less than or equal to 65535"),
        ("port: many", "port", "valid integer"),
        ("api_keys: sk-1", "api_keys", "set api_keys_file"),
        ("api_keys_file: /nowhere/keys", "", "api_keys_file: cannot read"),
        ("channel: {tls: {ca_file: /nowhere/ca}}", "channel.tls.ca_file", "path does not point to a file"),
        ("[]", "", "must be a mapping"),
        ("a: [", "", "is not valid YAML"),
    ],
)
def test_bad_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, key: str, words: str) -> None:
    (tmp_path / "keys").write_text("")
    file = tmp_path / "edge.yaml"
    file.write_text(content.replace("KEYS", str(tmp_path / "keys")))
    code, out, err = ended(capsys, "--config", str(file), "--check")
    (problem,) = json.loads(out)
    assert (code, err, problem["key"]) == (1, "", key)
    assert words in problem["message"]


def test_flags_over_environment_over_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three has a fault that the one above it covers."""
    file = tmp_path / "edge.yaml"
    file.write_text("port: 99999\nhost: 0.0.0.0\nmedia: {timeout_s: -1}")
    monkeypatch.setenv("GPT_SERVER_HOST", "127.0.0.1")
    monkeypatch.setenv("GPT_SERVER_PORT", "88888")
    monkeypatch.setenv("GPT_SERVER_MEDIA__TIMEOUT_S", "3")
    assert ended(capsys, "--config", str(file), "--port", "0", "--check") == (0, "[]\n", "")


def test_keys_from_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPT_SERVER_API_KEYS", "a:b")
    assert ended(capsys, "--host", "0.0.0.0", "--check")[0] == 0
    monkeypatch.setenv("GPT_SERVER_API_KEYS", "a:secret,a:c")
    code, out, _ = ended(capsys, "--check")
    assert code == 1
    assert "secret" not in out


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ended(capsys, "--config", "/nowhere/edge.yaml")
    assert (code, err) == (2, "/nowhere/edge.yaml: No such file or directory\n")


def test_an_empty_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "edge.yaml").write_text("")
    assert ended(capsys, "--config", str(tmp_path / "edge.yaml"), "--check") == (0, "[]\n", "")


def test_an_ipv6_address_is_written_with_brackets() -> None:
    listener = listen("::1", 0)
    assert address_of(listener).startswith("[::1]:")
    listener.close()
