"""docker-bake.json has an image of every engine, with its own lock, by the name that the chart and compose.yaml use."""

import json
import re
from pathlib import Path
from typing import Any

from gpt_server.launcher.engines import ENGINES, LOCKS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
BAKE: dict[str, Any] = json.loads((DOCKER / "docker-bake.json").read_text(encoding="utf-8"))
TARGETS = {name: target for name, target in BAKE["target"].items() if name != "recipe"}
RECIPE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def locks_by_image(tag: str) -> dict[str, str]:
    """Names of the images with this tag, and the lock of each."""
    return {
        name.removeprefix("${REGISTRY}"): f"{target['args']['LOCK']}.lock"
        for target in TARGETS.values()
        for name, _, own in (whole.partition(":") for whole in target["tags"])
        if own == tag
    }


def test_every_engine_has_an_image_with_its_own_lock() -> None:
    """That of machines with a GPU, where there are two; for those that serve without one, that of the CPU as well."""
    names = {f"gpt-server-{one.service}-{one.name}": one.environment for one in ENGINES if one.environment}
    wanted = {name: LOCKS[environment][1] for name, environment in names.items()}
    assert locks_by_image("${VERSION}") == {"gpt-server-edge": "edge.lock"} | wanted
    without = {name: LOCKS[environment][0] for name, environment in names.items() if environment == "vllm"}
    assert locks_by_image("${VERSION}-cpu") == without


def test_one_tag_is_one_image() -> None:
    tags = [tag for target in TARGETS.values() for tag in target["tags"]]
    assert len(set(tags)) == len(tags)
    assert all(
        f"/{target['args']['NAME']}:" in f"/{target['tags'][0].removeprefix('${REGISTRY}')}"
        for target in TARGETS.values()
    )


def test_targets_and_arguments_are_those_of_the_recipe() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", RECIPE, re.MULTILINE))
    arguments = set(re.findall(r"^ARG (\w+)", RECIPE, re.MULTILINE))
    for name, target in TARGETS.items():
        assert target["target"] in stages, name
        assert set(BAKE["target"]["recipe"]["args"] | target["args"]) <= arguments, name
        assert name.split("-")[0] == target["target"]


def test_the_version_is_ours() -> None:
    (version,) = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert BAKE["variable"]["VERSION"]["default"] == version
    assert f"ARG VERSION={version}\n" in RECIPE
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"image: gpt-server-\S+:(\S+)", compose)) == {version}
