"""compose.yaml is what the compose schema allows, and its settings are what our programs take.

compose-spec-2.16.2.json is schema/compose-spec.json of github.com/compose-spec/compose-go/v2 v2.16.2 (Apache-2.0).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.test_bake import TARGETS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SCHEMA = Draft202012Validator(json.loads(Path(__file__).with_name("compose-spec-2.16.2.json").read_text()))
MODALITIES = ("llm", "embed", "audio", "image")
OURS = {name: COMPOSE["services"][name] for name in ("edge", *MODALITIES)}


def settings_file(name: str) -> Path:
    """The file that is mounted as a service's settings."""
    source, _, _ = OURS[name]["volumes"][0].partition(":")
    return DEPLOY / str(source)


def test_schema_allows_it() -> None:
    assert not [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(COMPOSE)]


def test_schema_refuses_a_key_that_there_is_not() -> None:
    wrong = {"services": {"edge": OURS["edge"] | {"read_onyl": True}}}
    assert [error.json_path for error in SCHEMA.iter_errors(wrong)] == ["$.services.edge"]


def test_everything_is_there() -> None:
    assert set(COMPOSE["services"]) == {"consul", "edge", *MODALITIES, "prometheus", "grafana"}
    mounts = [volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())]
    files = {mount for mount in mounts if mount.startswith(".")}
    assert all((DEPLOY / file).exists() for file in files)
    assert set(mounts) - files == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_images_are_those_of_the_recipe(name: str) -> None:
    service = OURS[name]
    build = service["build"]
    target = next(target for target in TARGETS.values() if target["args"] == build["args"])
    assert build["target"] == name == target["target"]
    assert "${REGISTRY}" + service["image"].replace(":0.1.0", ":${VERSION}") in target["tags"]
    program = "edge" if name == "edge" else "service"
    assert service["volumes"][0] == f"./compose/{name}.yaml:/config/{program}.yaml:ro"
    assert (service["read_only"], service["volumes"][1]) == (True, f"{name}-cache:/cache")


@pytest.mark.parametrize("name", OURS)
def test_program_takes_its_settings(name: str, tmp_path: Path) -> None:
    """With the engine's own library; only what lies in an image is looked for in the checkout."""
    file = tmp_path / "settings.yaml"
    text = settings_file(name).read_text(encoding="utf-8")
    file.write_text(text.replace("/opt/gpt-server", str(ROOT)).replace("/cache", str(tmp_path)))
    module = "gpt_server.edge" if name == "edge" else f"gpt_server.services.{name}"
    command = [sys.executable, "-m", module, "--config", str(file), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr


def test_prometheus_asks_every_admin_port() -> None:
    (job,) = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert set(names["names"]) == set(OURS)
    ports = {yaml.safe_load(settings_file(name).read_text())["admin"]["port"] for name in OURS}
    assert ports == {names["port"]}
