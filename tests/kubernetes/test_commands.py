"""What the kubelet would do with a pod of the chart, done to real processes: its pods are simulated elsewhere.

The settings are those of the rendered ConfigMaps; only ports, folders and engine are this machine's.
"""

import asyncio
import os
import sys
from pathlib import Path

import grpc
import pytest

from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from tests.kubernetes.chart import EXAMPLES, Objects, find, of_kind, pod_of, render, settings_of
from tests.kubernetes.container import FAKE, container
from tests.services.asking import Stub, ask, rest

DEMO_CHAT = Path(__file__).parents[2] / "models" / "demo" / "chat"
SLOW = {"demo-chat": {**FAKE, "names": ["fake-chat"], "engine_args": {"load_s": 1.0}}}


@pytest.fixture(scope="module")
def demo() -> Objects:
    """The demo without a GPU."""
    return render(EXAMPLES["cpu-demo"], values={"pre_stop_s": 1})


async def test_the_life_of_a_services_pod(tmp_path: Path, demo: Objects) -> None:
    """Started and alive while it loads, then ready; a call that runs is finished through preStop and SIGTERM."""
    async with container(tmp_path, demo, "demo-chat", models=SLOW, grpc={"port": 0}) as chat:
        assert await chat.probe("livenessProbe")
        assert not await chat.probe("startupProbe"), "it loads"
        await chat.until("startupProbe", well=True)
        assert await chat.probe("readinessProbe")
        async with grpc.aio.insecure_channel(chat.ports["grpc"]) as channel:
            stub: Stub = LLMServiceStub(channel)
            call = stub.Generate(ask(tokens=60, token_s=0.1))
            await call.read()
            await chat.pre_stop()
            assert await chat.probe("readinessProbe"), "nothing has changed yet"
            ending = asyncio.create_task(chat.terminate())
            await chat.until("readinessProbe", well=False)
            assert await chat.probe("livenessProbe"), "a pod that drains is not killed"
            assert (await rest(call))[-1].HasField("finished")
        assert await ending == 0


async def test_the_life_of_an_edges_pod(tmp_path: Path, demo: Objects) -> None:
    models = tmp_path / "models.json"
    models.write_text(find(demo, "ConfigMap", "models")["data"]["models.json"])
    local = {"host": "127.0.0.1", "port": 0, "discovery": {"file": str(models)}}
    async with container(tmp_path, demo, "edge", **local) as edge:
        await edge.until("startupProbe", well=True)
        await edge.until("readinessProbe", well=True)
        assert await edge.probe("livenessProbe")
        await edge.pre_stop()
        assert await edge.terminate() == 0


async def test_the_settings_name_the_ports_of_the_pod(demo: Objects) -> None:
    """What the tests above replace: the ports that probes and Services mean."""
    (chat,) = pod_of(demo, "demo-chat")["containers"]
    ports = {port["name"]: port["containerPort"] for port in chat["ports"]}
    settings = settings_of(demo, "demo-chat")
    assert ports == {"grpc": settings["grpc"]["port"], "admin": settings["admin"]["port"]}
    assert settings["grpc"]["host"] == settings["admin"]["host"] == "0.0.0.0"


async def test_helm_tests_command_against_real_processes(tmp_path: Path) -> None:
    """The command of the test's pod: it gets an answer of the demo model, and fails without the key or the model."""
    objects = render(EXAMPLES["cpu-demo"], values={"secrets": {"apiKeys": {"name": "keys"}}})
    keys = tmp_path / "keys"
    keys.write_text("# of this test\nalice:secret-1\n")
    chat_settings = settings_of(objects, "demo-chat")["models"]
    chat_settings["demo-chat"]["model"] = str(DEMO_CHAT)
    async with container(tmp_path, objects, "demo-chat", models=chat_settings, grpc={"port": 0}) as chat:
        await chat.until("readinessProbe", well=True)
        local = {"host": "127.0.0.1", "port": 0, "api_keys_file": str(keys)}
        async with container(tmp_path, objects, "edge", **local, discovery={"addresses": [chat.ports["grpc"]]}) as edge:
            await edge.until("readinessProbe", well=True)
            url = f"http://{edge.ports['http']}"
            code, said = await helm_test(tmp_path, objects, url, GPT_SERVER_TEST_KEYS=str(keys))
            assert code == 0, said
            assert "models: demo-chat\ndemo-chat: " in said
            keys_missing = await helm_test(tmp_path, objects, url, GPT_SERVER_TEST_KEYS="")
            assert (keys_missing[0], "401" in keys_missing[1]) == (1, True)
            assert await chat.terminate() == 0
            code, said = await helm_test(tmp_path, objects, url, GPT_SERVER_TEST_KEYS=str(keys))
            assert code == 1, said


async def helm_test(folder: Path, objects: Objects, url: str, **env: str) -> tuple[int | None, str]:
    """Runs the command of the pod of `helm test`; returns exit code and output."""
    (pod,) = of_kind(objects, "Pod")
    (spec,) = pod["spec"]["containers"]
    python, script, address, *models = spec["command"]
    assert address == f"http://{find(objects, 'Service', 'edge')['metadata']['name']}:80"
    assert {one["name"] for one in spec["env"]} == env.keys()
    program = folder / Path(script).name
    program.write_text(find(objects, "ConfigMap", "test")["data"][program.name])
    assert python == "python"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), url, *models),
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
