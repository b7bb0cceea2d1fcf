"""What a configuration becomes: processes, their settings and environments."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gpt_server.launcher import engines
from gpt_server.launcher.config import check
from gpt_server.launcher.plan import Plan, plan
from gpt_server.launcher.yaml_file import BadConfig, YamlFile
from gpt_server.services.llm.engines import ENGINES as SERVICE_ENGINES


def planned(models: dict[str, Any], held: dict[str, tuple[int, ...]] | None = None, **rest: Any) -> Plan:
    file = YamlFile(None, {"models": models, **rest}, {})
    return plan(check(file), file, sys.executable, held)


def fake(**fields: Any) -> dict[str, Any]:
    return {"engine": "fake", "model": "none", **fields}


def test_one_process_for_each_replica() -> None:
    made = planned({"a": fake(replicas=2), "b": fake(replicas=0), "c": fake(names=["see"])})
    assert [process.name for process in made.services] == ["a-0", "a-1", "c-0"]
    assert made.expected_models == ("a", "see")
    assert {process.settings["replica"] for process in made.services} == {"a-0", "a-1", "c-0"}


def test_gpus_are_given_out_in_order_or_as_told() -> None:
    made = planned({"a": fake(gpus=2, replicas=2), "b": fake(), "c": fake(gpus=1, local={"devices": [[7]]})})
    assert [process.env["CUDA_VISIBLE_DEVICES"] for process in made.services] == ["0,1", "2,3", "", "7"]


def test_gpus_stay_where_they_are() -> None:
    """After a reload: whoever has GPUs keeps them, unless the file gives them to another."""
    models = {"b": fake(gpus=1), "c": fake(gpus=1), "d": fake(gpus=2)}
    held: dict[str, tuple[int, ...]] = {"a-0": (0,), "b-0": (1,), "d-0": (2,)}
    assert [process.devices for process in planned(models, held).services] == [(1,), (0,), (2, 3)]
    models["c"]["local"] = {"devices": [[1]]}
    assert [process.devices for process in planned(models, held).services] == [(0,), (1,), (2, 3)]


def test_cpu_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    (alone,) = planned({"a": fake()}).services
    expected = {"OMP_NUM_THREADS": "6", "OMP_WAIT_POLICY": "PASSIVE", "GRPC_ENABLE_FORK_SUPPORT": "0"}
    assert alone.defaults == expected
    first, *_, on_gpu = planned({"a": fake(), "b": fake(), "c": fake(gpus=1)}).services
    assert first.defaults["OMP_NUM_THREADS"] == "3"
    assert first == alone, "a running process is not restarted for it"
    assert on_gpu.defaults == {}


def test_traces_of_every_process_go_to_the_same_collector() -> None:
    tracing = {"endpoint": "http://collector:4317"}
    made = planned({"a": fake()}, tracing=tracing)
    assert [process.settings["tracing"] for process in made.edges + made.services] == [tracing, tracing]
    assert "tracing" not in planned({"a": fake()}).edges[0].settings


def test_hub_and_environment_reach_the_process() -> None:
    (process,) = planned({"a": fake(local={"env": {"X": "1"}})}, hub={"home": "/models", "offline": True}).services
    assert (process.env["HF_HOME"], process.env["HF_HUB_OFFLINE"], process.env["X"]) == ("/models", "1", "1")


def test_equal_configurations_are_equal_plans() -> None:
    assert planned({"a": fake()}) == planned({"a": fake()})
    assert planned({"a": fake()}) != planned({"a": fake(engine_args={"token_s": 1})})


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (
            "hff",
            "models.a.engine: unknown engine 'hff'; did you mean hf? engines of llm: fake, hf, lmdeploy, sglang, vllm",
        ),
        ("x", "models.a.engine: unknown engine 'x'; engines of llm: fake, hf, lmdeploy, sglang, vllm"),
    ],
)
def test_unknown_engine(engine: str, said: str) -> None:
    with pytest.raises(BadConfig) as raised:
        planned({"a": {"engine": engine, "model": "x"}})
    assert raised.value.problems == [said]


def test_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("gpt_server.launcher.folders.environments", lambda: tmp_path)
    with pytest.raises(BadConfig) as raised:
        planned({"a": {"engine": "hf", "model": "x"}})
    assert raised.value.problems == [
        "models.a.engine: the hf engine is not installed; install it with: gpt-server engines install hf"
    ]
    own = tmp_path / "llm-hf" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    assert planned({"a": {"engine": "hf", "model": "x"}}).services[0].python == str(own)


def test_launcher_and_service_know_the_same_engines() -> None:
    assert {engine.name for engine in engines.ENGINES if engine.service == "llm"} == set(SERVICE_ENGINES)
