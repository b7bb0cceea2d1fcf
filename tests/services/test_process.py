"""The process itself, as launcher and Kubernetes run it: settings file, announce file, signals, exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from tests.services.asking import Stub, ask, ready, refusal, rest, text_of

LIMIT_S = 60.0  # only so that a failure ends
SETTINGS: dict[str, Any] = {
    "replica": "child-0",
    "models": {"fake-chat": {"engine": "fake", "model": "none"}},
}


def write(folder: Path, **changed: Any) -> Path:
    """Writes a settings file."""
    path = folder / "service.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changed}))
    return path


def command(config: Path, *flags: str) -> list[str]:
    """The command line of the process."""
    return [sys.executable, "-m", "gpt_server.services.llm", "--config", str(config), *flags]


def run(config: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the process to its end."""
    return subprocess.run(
        command(config, *flags), capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, **environment}
    )


@asynccontextmanager
async def running(
    folder: Path, *, inside: Sequence[str] = (), **changed: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The process and what it announced; it is ended in any case. `inside`: a command that starts it."""
    announced = folder / "announced.json"
    config = write(folder, announce_file=str(announced), **changed)
    child = await asyncio.create_subprocess_exec(*inside, *command(config), stderr=asyncio.subprocess.PIPE)
    try:
        assert child.stderr
        async with asyncio.timeout(LIMIT_S):
            while not announced.exists():
                assert await child.stderr.readline(), "the process ended"
        yield child, json.loads(announced.read_text())
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def test_a_running_stream_outlives_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path) as (child, announced):
        assert announced["pid"] == child.pid
        async with grpc.aio.insecure_channel(announced["grpc"]) as channel:
            llm: Stub = LLMServiceStub(channel)
            await ready(channel)
            call = llm.Generate(ask(tokens=20, token_s=0.05))
            while (message := await call.read()).HasField("started") or not message.deltas:
                pass
            child.send_signal(signal.SIGTERM)
            messages = [message, *await rest(call)]
            assert messages[-1].HasField("finished")
            assert len(text_of(messages).split()) == 20
        assert await asyncio.wait_for(child.wait(), LIMIT_S) == 0


async def test_an_engine_that_dies_takes_the_process_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (child, announced):
        async with grpc.aio.insecure_channel(announced["grpc"]) as channel:
            await ready(channel)
            refused = await refusal(LLMServiceStub(channel).Generate(ask(die_after=2)))
            assert refused.reason == "ENGINE_UNAVAILABLE"
        assert await asyncio.wait_for(child.wait(), LIMIT_S) == 4


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    model = {"engine": "fake", "model": "none", "engine_args": {"load_error": "the weights are missing"}}
    ended = run(write(tmp_path, models={"m": model}))
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1].endswith("error   model m failed to load: the weights are missing")
    assert "Traceback" not in ended.stderr
    debugged = run(write(tmp_path, models={"m": model}, log={"level": "debug"}))
    assert "Traceback" in debugged.stderr


BAD = [
    ({"replica": ""}, "replica: string should have at least 1 character"),
    (
        {"grpc": {"prt": 1}},
        "grpc.prt: unknown key; allowed: host, port, max_message_bytes, tokens_file, default_timeout_s, "
        "max_connection_age_s, tls",
    ),
    ({"models": {}}, "models: dictionary should have at least 1 item after validation, not 0"),
    (
        {"models": {"m": {"engine": "nope", "model": "x"}}},
        "models.m.engine: unknown engine 'nope'; allowed: fake, hf, lmdeploy, sglang, vllm",
    ),
    (
        {"models": {"m": {"engine": "fake", "model": "x", "engine_args": {"token_s": -1}}}},
        "models.m.engine_args.token_s: must be greater than or equal to 0",
    ),
]


@pytest.mark.parametrize(("changed", "line"), BAD, ids=[line.partition(":")[0] for _, line in BAD])
def test_bad_settings_are_one_line_each(tmp_path: Path, changed: dict[str, Any], line: str) -> None:
    ended = run(write(tmp_path, **changed))
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == line
    assert "Traceback" not in ended.stderr
    checked = run(write(tmp_path, **changed), "--check")
    assert checked.returncode == 1
    key, _, message = line.partition(": ")
    assert json.loads(checked.stdout) == [{"key": key, "message": message}]


def test_check_of_good_settings_is_an_empty_list(tmp_path: Path) -> None:
    checked = run(write(tmp_path), "--check")
    assert (checked.returncode, checked.stdout) == (0, "[]\n")


def test_flag_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    config = write(tmp_path, grpc={"port": 70_000}, log={"level": "loud"}, drain_timeout_s=-1)
    by_environment = run(config, "--check", GPT_SERVER_LOG__LEVEL="info", GPT_SERVER_GRPC__PORT="80000")
    assert [problem["key"] for problem in json.loads(by_environment.stdout)] == ["grpc.port", "drain_timeout_s"]
    by_flag = run(
        config,
        "--check",
        "--grpc.port",
        "0",
        "--drain_timeout_s",
        "1",
        GPT_SERVER_LOG__LEVEL="info",
        GPT_SERVER_GRPC__PORT="80000",
    )
    assert json.loads(by_flag.stdout) == []


def test_a_file_that_is_missing_or_no_yaml(tmp_path: Path) -> None:
    missing = run(tmp_path / "none.yaml")
    assert (missing.returncode, missing.stderr) == (2, f"{tmp_path}/none.yaml: No such file or directory\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("replica: r\nmodels: [\n")
    ended = run(broken)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{broken}, line 3: expected the node content")
    broken.write_text("- a list\n")
    assert run(broken).stderr == f"{broken}: must be a mapping of keys to values\n"
