"""The chart's settings files, checked by the programs that read them, with their engines' own libraries."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.chart import EXAMPLES, find, of_kind, render
from tests.support.certificates import Authority
from tests.support.needs import unavailable

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "models" / "demo"
PROGRAM = Path(__file__).with_name("check_settings.py")
VLLM = ROOT / ".venvs" / "test-vllm" / "bin" / "python"

EVERYTHING: dict[str, Any] = {
    "secrets": {
        "apiKeys": {"name": "keys"},
        "consulToken": {"name": "consul"},
        "consulTls": {"name": "consul-tls", "clientCertificate": True},
        "serviceTokens": "tokens",
        "bucketKey": {"name": "bucket"},
    },
    "tls": {"enabled": True, "serviceSecret": "s", "edgeSecret": "e"},
    "consul": {"address": "https://consul.example.com:8501", "check": {"interval_s": 10}},
    "tracing": {"endpoint": "http://collector:4317", "sample_ratio": 0.1},
    "edge": {
        "key_limits": {"alice": {"requests_per_minute": 600, "models": ["demo-chat"]}},
        "routing": {"policy": "least_load"},
        "cors_origins": ["*"],
        "max_body_bytes": 134217728,
        "media": {"max_bytes": 50000000},
        "files": {"public_url": "https://llm.example.com", "s3": {"bucket": "images", "access_key_id": "edge"}},
        "moderation": {"threshold": 0.7},
    },
}
"""Sections that no example has."""


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is mounted into containers: models, certificates, secrets."""
    root = tmp_path_factory.mktemp("container")
    for folder in ("models/adapters", "secrets", "cache/files", "files"):
        (root / folder).mkdir(parents=True)
    for name in ("chat", "large", "Qwen3-8B"):
        (root / "models" / name).symlink_to(DEMO / "chat")
    (root / "models" / "draw").symlink_to(DEMO / "image")
    for name, real in (("support", "pirate"), ("legal", "robot")):
        (root / "models" / "adapters" / name).symlink_to(DEMO / "adapters" / real)
    authority = Authority(root / "authority")
    certificate, key = authority.sign("party")
    for folder in ("tls", "secrets/consul-tls"):
        (root / folder).mkdir()
        for name, file in (("ca.crt", authority.certificate), ("tls.crt", certificate), ("tls.key", key)):
            (root / folder / name).symlink_to(file)
    for path in (
        "api-keys/api-keys",
        "consul-token/token",
        "service-tokens/token",
        "service-tokens/tokens",
        "bucket-key/secret",
    ):
        secret = root / "secrets" / path
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("secret-1\n" if secret.name in ("token", "secret") else "alice:secret-1\n")
    return root


def files_of(folder: Path, container: Path) -> dict[str, list[str]]:
    """Writes the settings of all examples; returns the files by the Python and the module that read them."""
    found: dict[str, list[str]] = defaultdict(list)
    releases = {name: render(file) for name, file in EXAMPLES.items()}
    releases["everything"] = render(EXAMPLES["cpu-demo"], values=EVERYTHING)
    for release, objects in releases.items():
        for deployment in of_kind(objects, "Deployment"):
            name = deployment["metadata"]["name"]
            (container_,) = deployment["spec"]["template"]["spec"]["containers"]
            module = container_["command"][2]
            assert container_["command"][:2] == ["python", "-m"]
            (text,) = find(objects, "ConfigMap", name)["data"].values()
            for path in ("/models", "/tls", "/secrets", "/cache", "/files"):
                text = text.replace(f" {path}/", f" {container}{path}/")
            file = folder / f"{release}-{name}.yaml"
            file.write_text(text.replace("/opt/gpt-server/models/demo", str(DEMO)))
            engines = {model["engine"] for model in yaml.safe_load(text).get("models", {}).values()}
            found[f"{VLLM if 'vllm' in engines else sys.executable} {module}"].append(str(file))
    return found


def test_the_programs_take_their_settings(tmp_path: Path, container: Path) -> None:
    files = files_of(tmp_path, container)
    assert {key.split()[1] for key in files} == {
        "gpt_server.edge",
        *(f"gpt_server.services.{modality}" for modality in ("llm", "embed", "audio", "image")),
    }
    if not VLLM.exists():
        unavailable("vLLM's environment is not there: tools/engine_env.sh vllm")
    for key, paths in files.items():
        python, module = key.split()
        done = subprocess.run(
            [python, str(PROGRAM), module, *paths],
            env={**os.environ, "GPT_SERVER_REPLICA": "pod-1"},  # as the pod has it
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        wrong = [problem for problems in said.values() for problem in problems]
        if python == str(VLLM):  # all that its CPU build has to say of models for GPUs
            assert [problem["message"][:33] for problem in wrong] == ["this vLLM is built for the CPU: g"] * len(paths)
        else:
            assert not wrong, module


def test_a_fault_would_be_found(tmp_path: Path) -> None:
    """The check of this test says what is wrong, so that silence means something."""
    file = tmp_path / "service.yaml"
    file.write_text("models: {chat: {engine: hf, model: org/chat, engine_args: {dtpe: float32}}}\n")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "gpt_server.services.llm", str(file)], capture_output=True, text=True, check=True
    )
    ((problem,),) = json.loads(done.stdout.splitlines()[-1]).values()
    assert (problem["key"], problem["message"]) == ("replica", "is required")
