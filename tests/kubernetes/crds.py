"""The custom resources that the chart may make, as their projects publish them: files in Go modules, not built."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.api import Things, holds
from tests.support.needs import need

MODULES = Path(__file__).parents[2] / "tools" / "crds"
FILES = (
    "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    "config/crd/bases/keda.sh_scaledobjects.yaml",
    "deploy/crds/cert-manager.io_certificates.yaml",
)


def crds() -> Iterator[Any]:
    """Yields the definitions."""
    pins = re.findall(r"^\t(\S+) (v\S+)$", (MODULES / "go.mod").read_text(), re.MULTILINE)
    names = [f"{module}@{version}" for module, version in pins]
    done = subprocess.run(
        [need("go"), "mod", "download", "-json", *names], cwd=MODULES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folders = [Path(folder) for folder in re.findall(r'"Dir": "(.+)"', done.stdout)]
    for file in FILES:
        (found,) = (folder / file for folder in folders if (folder / file).exists())
        yield from (one for one in yaml.safe_load_all(found.read_text()) if one)


def established(definitions: Things) -> bool:
    """Whether all of a list of definitions are served."""
    return len(definitions) == len(FILES) and all(holds("Established", one) for one in definitions)
