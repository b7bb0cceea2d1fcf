"""Scaled to zero: callers are told to come again, and the edge's own metric wakes the model.

No Prometheus and no KEDA run here. A test does what they would: it scrapes the edge, evaluates the trigger of the chart
and starts a replica.
"""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kubernetes.chart import EXAMPLES, NAMESPACE, PREFIX, Objects, find, render
from tests.kubernetes.container import FAKE, LIMIT_S, Container, container

KEDA = {"serverAddress": "http://prometheus.monitoring:9090", "cooldown_s": 300}
NAMES = ["sleeper", "a+b/c"]
WANTED = re.compile(
    rf'^max\((gpt_server_edge_\w+)\{{namespace="{NAMESPACE}",model=~"(.+)"\}}\) > bool \(time\(\) - (\d+)\)$'
)


@pytest.fixture(scope="module")
def objects() -> Objects:
    """A model that sleeps until it is wanted."""
    autoscaling = {"minReplicas": 0, "maxReplicas": 2, "keda": KEDA}
    sleeper = {"engine": "hf", "model": "org/sleeper", "names": NAMES, "kubernetes": {"autoscaling": autoscaling}}
    return render(EXAMPLES["cpu-demo"], values={"models": {"sleeper": sleeper}})


def trigger(objects: Objects) -> str:
    """Returns the query that wakes the model."""
    scaled = find(objects, "ScaledObject", "sleeper")["spec"]
    assert scaled["scaleTargetRef"]["name"] == f"{PREFIX}-sleeper"
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"], scaled["cooldownPeriod"]) == (0, 2, 300)
    (wanted,) = (one["metadata"] for one in scaled["triggers"] if one["name"] == "wanted")
    assert (wanted["threshold"], wanted["activationThreshold"]) == ("1", "0")
    return str(wanted["query"])


async def value(edge: Container, query: str) -> bool:
    """Scrapes the edge and evaluates the query."""
    found = WANTED.match(query)
    assert found, query
    name, names, seconds = found.groups()
    pattern = re.compile(json.loads(f'"{names}"'))
    async with aiohttp.ClientSession() as session, session.get(f"http://{edge.ports['admin']}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    series = [re.match(rf'{name}\{{model="(.+)"\}} (\S+)$', line) for line in lines]
    times = [float(one[2]) for one in series if one and pattern.fullmatch(one[1])]
    return bool(times) and max(times) > time.time() - int(seconds)


async def ask(edge: Container, model: str) -> tuple[int, Any, Any]:
    """Returns status, headers and body of a chat completion."""
    body = {"model": model, "messages": [{"role": "user", "content": "Good morning"}]}
    async with aiohttp.ClientSession() as session:
        url = f"http://{edge.ports['http']}/v1/chat/completions"
        async with session.post(url, json=body) as answer:
            return answer.status, answer.headers, await answer.json()


@pytest.mark.parametrize("name", NAMES)
async def test_a_request_wakes_a_model(tmp_path: Path, objects: Objects, name: str) -> None:
    models = tmp_path / "models.json"
    listed = json.loads(find(objects, "ConfigMap", "models")["data"]["models.json"])
    models.write_text(json.dumps(listed))
    local = {"host": "127.0.0.1", "port": 0, "discovery": {"file": str(models)}}
    query = trigger(objects)
    async with container(tmp_path, objects, "edge", **local) as edge:
        await edge.until("readinessProbe", well=True)
        assert not await value(edge, query)
        assert (await ask(edge, "demo-chat"))[0] == 503
        assert not await value(edge, query), "another model was wanted"
        status, headers, body = await ask(edge, name)
        assert (status, body["error"]["code"]) == (503, "model_loading")
        assert int(headers["Retry-After"]) >= 1
        assert await value(edge, query), "it is wanted from now on"
        fake = {"sleeper": {**FAKE, "names": NAMES}}
        async with container(tmp_path, objects, "sleeper", models=fake, grpc={"port": 0}) as sleeper:
            models.write_text(json.dumps(listed | {"addresses": [sleeper.ports["grpc"]]}))
            async with asyncio.timeout(LIMIT_S):
                while (answer := await ask(edge, name))[0] == 503:
                    await asyncio.sleep(0.1)  # a caller that comes again
            assert answer[0] == 200, answer
