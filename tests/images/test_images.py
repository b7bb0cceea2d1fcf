"""Images built from the recipe: what they hold, and what they do not."""

import os
import re
from pathlib import Path

import pytest

from tests.deploy.test_bake import ROOT, TARGETS
from tests.images.store import CANARY, Image, run

INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX")


@pytest.fixture(scope="module", params=["edge", "chat"])
def image(request: pytest.FixtureRequest) -> Image:
    """Each of the images."""
    found: Image = request.getfixturevalue(request.param)
    return found


def normal(name: str) -> str:
    """The name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_runtime_is_told_all_that_it_needs(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    module, file = ("edge", "edge") if image.name == "edge" else ("services.llm", "service")
    assert image.config["Entrypoint"] == ["python", "-m", f"gpt_server.{module}"]
    assert image.config["Cmd"] == ["--config", f"/config/{file}.yaml"]
    env = dict(line.split("=", 1) for line in image.config["Env"])
    assert {env[name] for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")} == {"/cache"}
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.title"] == TARGETS[image.name]["args"]["NAME"]
    assert labels["org.opencontainers.image.revision"] == "of-a-test"


def test_it_has_the_libraries_of_its_lock_and_ours(image: Image) -> None:
    lock = (ROOT / "requirements" / f"{TARGETS[image.name]['args']['LOCK']}.lock").read_text(encoding="utf-8")
    locked = {normal(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    (site,) = image.root.glob("opt/gpt-server/lib/python3*/site-packages")
    installed = {normal(folder.name.split("-")[0]) for folder in site.glob("*.dist-info")}
    assert "gpt-server" in installed
    assert installed - {"gpt-server"} <= locked
    assert ("torch" in installed) == (image.name != "edge")
    assert list(site.glob("gpt_server/edge/__pycache__/*.pyc")), "nothing can be compiled on a read-only file system"
    assert (image.root / "opt/gpt-server/models").readlink() == Path("/") / site.relative_to(
        image.root
    ) / "gpt_server/models"
    assert (site / "gpt_server/models/demo/chat/config.json").is_file()


def test_nothing_of_the_build_is_left(image: Image) -> None:
    """Neither caches nor tools, nor a word of where packages came from."""
    assert not list((image.root / "opt").glob("uv/*")), "uv"
    for folder in ("var/cache/uv", "root", "tmp", "run/secrets", "wheel", "var/lib/apt/lists", "cache"):
        left = [
            file
            for file in (image.root / folder).rglob("*")
            if file.is_file() and file.name not in (".bashrc", ".profile")
        ]
        assert not left, left[:5]
    sites = run("apt-get", "indextargets", "--format", "$(SITE)").split()
    words = {CANARY, *sites, *filter(None, (os.environ.get(name) for name in INDEXES))}
    said = str(image.inspected)
    assert not [word for word in words if word in said]
    patterns = [part for word in words for part in ("-e", word)]
    places = [image.root / folder for folder in ("etc", "var", "root", "opt/gpt-server")]
    # grep exits with 1 where it finds nothing, which `run` would take for a fault.
    found = run("sh", "-c", 'grep -rlF --exclude="*.so*" "$@" || true', "sh", *patterns, *places)
    assert not found.split()


def test_layers_are_ordered_by_how_often_they_change(image: Image) -> None:
    """The last layers are ours alone: another release sends no library again."""
    steps = [step["created_by"] for step in image.inspected["OCIv1"]["history"] if not step.get("empty_layer")]
    order = [next(i for i, step in enumerate(steps) if word in step) for word in ("pip sync", "pip install")]
    assert order == [len(steps) - 2, len(steps) - 1]
