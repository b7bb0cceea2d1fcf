"""The values: a typo is refused where it stands, and nothing in them differs from what the launcher's file may say."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpt_server.launcher.config import StackConfig
from tests.kubernetes.chart import CHART, EXAMPLES, helm, refusal, render
from tools.chart_schema import values_schema
from tools.chart_values import ChartValues

DEMO = Path(__file__).parents[2] / "launcher" / "demo.yaml"
MODELS = {"chat": {"engine": "hf", "model": "org/chat"}}
OPEN = {"edge": {"allow_unauthenticated": True}, "models": MODELS}


@pytest.mark.parametrize("example", EXAMPLES)
def test_lint(example: str) -> None:
    done = helm("lint", "--strict", str(CHART), "--values", str(EXAMPLES[example]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_values_yaml_says_the_defaults() -> None:
    said = yaml.safe_load((CHART / "values.yaml").read_text())
    assert ChartValues.model_validate(said | {"models": MODELS}) == ChartValues.model_validate({"models": MODELS})


def test_models_are_those_of_the_launcher() -> None:
    """The same keys with the same meaning; only `kubernetes`, free there, is spelt out here."""
    ours, theirs = values_schema()["$defs"], StackConfig.model_json_schema()["$defs"]
    for chart, launcher in (("ModelValues", "ModelConfig"), ("EdgeValues", "EdgeConfig")):
        kept = _keys(theirs[launcher]) - {"kubernetes"}
        assert _keys(ours[chart]) - {"kubernetes"} == kept
        for key in kept - {"request_timeout_s"}:
            assert ours[chart]["properties"][key]["description"] == theirs[launcher]["properties"][key]["description"]
    for shared in ("LimitsConfig", "LocalConfig", "ConsulConfig", "HubConfig"):
        assert _keys(ours[shared]) == _keys(theirs[shared])
    assert _keys(values_schema()) > _keys(StackConfig.model_json_schema())


def _keys(section: Any) -> set[str]:
    return set(section["properties"])


def test_the_launchers_file_is_one_of_values() -> None:
    config = yaml.safe_load(DEMO.read_text())
    for name, model in config["models"].items():
        model["model"] = f"/opt/models/{name}" if model["model"].startswith("..") else model["model"]
    objects = render(values=config | {"edge": {"allow_unauthenticated": True, "port": 9000}})
    deployed = {one["metadata"]["name"] for one in objects if one["kind"] == "Deployment"}
    assert deployed == {f"gs-gpt-server-{name}" for name in (*config["models"], "edge")}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models": {"chat": {**MODELS["chat"], "replcas": 2}}}, "at '/models/chat': additional properties 'replcas'"),
        ({"models": {"chat": {**MODELS["chat"], "gpus": -1}}}, "at '/models/chat/gpus': minimum"),
        ({"models": {"chat": {"model": "org/chat"}}}, "at '/models/chat': missing property 'engine'"),
        ({"models": {"Chat": MODELS["chat"]}}, "at '/models': additional properties 'Chat'"),
        ({"models": {}}, "at '/models': minProperties"),
        ({**OPEN, "edgee": {}}, "at '': additional properties 'edgee'"),
        ({**OPEN, "edge": {"kubernetes": {"replica": 2}}}, "at '/edge/kubernetes': additional properties 'replica'"),
        ({**OPEN, "image": {"tag": 3}}, "at '/image/tag': got number, want string"),
        ({**OPEN, "consul": {"adress": "http://c:8500"}}, "at '/consul': additional properties 'adress'"),
        (
            {"models": {"chat": {**MODELS["chat"], "kubernetes": {"modelVolume": {"create": {"sise": "1Gi"}}}}}},
            "at '/models/chat/kubernetes/modelVolume/create': ",
        ),
        (
            {"models": {"chat": {**MODELS["chat"], "kubernetes": {"autoscaling": {"keda": {}, "maxReplicas": 2}}}}},
            "at '/models/chat/kubernetes/autoscaling/keda': missing property 'serverAddress'",
        ),
    ],
)
def test_what_the_schema_refuses(values: Any, says: str) -> None:
    assert says in refusal(values=values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models": MODELS}, "secrets.apiKeys.name: name a Secret with API keys"),
        ({**OPEN, "edge": {"allow_unauthenticated": True, "api_keys_file": "keys"}}, "edge.api_keys_file: a file of"),
        ({**OPEN, "tls": {"enabled": True}}, "tls: name serviceSecret and edgeSecret"),
        (
            {**OPEN, "models": {**MODELS, "other": {"engine": "hf", "model": "org/x", "names": ["chat"]}}},
            'models.other.names: the name "chat" is taken by chat',
        ),
        ({**OPEN, "models": {"edge": MODELS["chat"]}}, "models.edge: the name gs-gpt-server-edge is that of the edge"),
        ({**OPEN, "models": {"m" * 60: MODELS["chat"]}}, "is longer than 63 characters"),
        (
            {**OPEN, "models": {"chat": {"engine": "hf", "model": "../chat"}}},
            'models.chat.model: "../chat" is a folder',
        ),
        (
            {**OPEN, "models": {"chat": {"engine": "hf", "model": "/models/chat", "kubernetes": {"download": True}}}},
            'models.chat.kubernetes.download: "/models/chat" is no hub id',
        ),
        (
            {**OPEN, "models": {"chat": {**MODELS["chat"], "kubernetes": {"autoscaling": {"maxReplicas": 2}}}}},
            "models.chat.kubernetes.autoscaling: one of hpa and keda",
        ),
        (
            {
                **OPEN,
                "models": {
                    "chat": {
                        **MODELS["chat"],
                        "kubernetes": {"autoscaling": {"minReplicas": 0, "maxReplicas": 2, "hpa": {}}},
                    }
                },
            },
            "models.chat.kubernetes.autoscaling.minReplicas: must be at least 1 with hpa",
        ),
    ],
)
def test_what_contradicts_itself(values: Any, says: str) -> None:
    assert says in refusal(values=values)


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_and_helm_agree_on_the_examples(example: str) -> None:
    ChartValues.model_validate(yaml.safe_load(EXAMPLES[example].read_text()))
    assert json.dumps(render(EXAMPLES[example]))
