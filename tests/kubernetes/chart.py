"""The chart as Helm renders it."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.needs import need

HELM = Path(__file__).parents[2] / "deploy" / "helm"
CHART = HELM / "gpt-server"
EXAMPLES: Mapping[str, Path] = {file.stem: file for file in sorted((HELM / "examples").glob("*.yaml"))}
RELEASE, NAMESPACE = "gs", "ai"
PREFIX = "gs-gpt-server"
OLDEST_KUBERNETES = "1.28"

Objects = Sequence[Mapping[str, Any]]


def helm(*arguments: str, values: Any = None) -> subprocess.CompletedProcess[str]:
    """Runs Helm; `values` come on top of those that the arguments name."""
    more = ("--values", "-") if values is not None else ()
    return subprocess.run(
        [need("helm"), *arguments, *more],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def render(*files: Path, values: Any = None) -> Objects:
    """Returns what a release with these values is made of. It must render."""
    done = _template(files, values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def refusal(*files: Path, values: Any = None) -> str:
    """Returns what Helm says of values that are wrong."""
    done = _template(files, values)
    assert done.returncode != 0, "it was rendered"
    return done.stderr


def find(objects: Objects, kind: str, name: str) -> Any:
    """Returns the one object of a kind and name; the release's prefix may be left out."""
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] in (name, f"{PREFIX}-{name}"))
    return found


def of_kind(objects: Objects, kind: str) -> list[Any]:
    """Returns all objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def pod_of(objects: Objects, deployment: str) -> Any:
    """Returns the pod's specification of a Deployment."""
    return find(objects, "Deployment", deployment)["spec"]["template"]["spec"]


def settings_of(objects: Objects, name: str) -> Any:
    """Returns the settings file in a ConfigMap."""
    (text,) = find(objects, "ConfigMap", name)["data"].values()
    return yaml.safe_load(text)


def env_of(container: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a container's environment: values, or where they come from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def _template(files: Sequence[Path], values: Any) -> subprocess.CompletedProcess[str]:
    # Without a cluster, Helm takes the oldest version there is.
    where = ("--namespace", NAMESPACE, "--kube-version", OLDEST_KUBERNETES)
    return helm("template", RELEASE, str(CHART), *where, *_values(files), values=values)


def _values(files: Sequence[Path]) -> list[str]:
    return [part for file in files for part in ("--values", str(file))]
