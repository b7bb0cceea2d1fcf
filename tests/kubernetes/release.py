"""A release of the chart on the control plane: Helm's own commands, and what came of them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.kubernetes.api import Things
from tests.kubernetes.chart import CHART, RELEASE
from tests.kubernetes.control_plane import ControlPlane, is_ready
from tests.support.needs import need

LIMIT_S = 300.0  # only so that a failure ends
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Release:
    """The release `gs` in a namespace of its own, in which the `restricted` level is enforced."""

    def __init__(self, cluster: ControlPlane, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def prepare(self) -> None:
        """Makes the namespace, and waits for what every namespace has."""
        meta = {"name": self.namespace, "labels": RESTRICTED}
        await self.cluster.api.post("/api/v1/namespaces", {"metadata": meta})
        await self.cluster.api.until(self.path("serviceaccounts"), lambda accounts: len(accounts) == 1)

    async def claim(self, name: str) -> None:
        """Makes a claim of a volume for models, as whoever runs the cluster would."""
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}}
        claims = self.path("persistentvolumeclaims")
        await self.cluster.api.post(claims, {"metadata": {"name": name}, "spec": spec})

    async def install(self, example: Path, values: Any = None) -> None:
        """Installs and waits until all pods are ready. Must work."""
        await self.helm("install", RELEASE, str(CHART), "--wait", "--values", str(example), values=values)

    async def upgrade(self, values: Any) -> None:
        """Changes some values and waits."""
        await self.helm("upgrade", RELEASE, str(CHART), "--wait", "--reuse-values", values=values)

    async def helm(self, *arguments: str, values: Any = None, fails: bool = False) -> str:
        """Runs Helm in the namespace and returns its output."""
        more = ("--values", "-") if values is not None else ()
        where = ("--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace)
        process = await asyncio.create_subprocess_exec(
            *(need("helm"), *arguments, *where, *more),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate(json.dumps(values).encode())
        assert (process.returncode != 0) == fails, output.decode()
        return output.decode()

    def path(self, kind: str, group: str = "api/v1") -> str:
        """Returns where things of a kind are listed."""
        return f"/{group}/namespaces/{self.namespace}/{kind}"

    async def pods(self) -> dict[str, list[Mapping[str, Any]]]:
        """Returns the pods that run, by model; the edges are `edge`."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for pod in (await self.cluster.api.get(self.path("pods")))["items"]:
            labels = pod["metadata"]["labels"]
            found.setdefault(labels.get("gpt-server/model", labels["app.kubernetes.io/component"]), []).append(pod)
        return found

    async def until_pods(self, condition: Callable[[Things], bool]) -> Things:
        """Waits for the pods to be as wanted."""
        return await self.cluster.api.until(self.path("pods"), condition)


def uids(pods: Things) -> set[str]:
    """Returns what tells pods from those that replaced them."""
    return {pod["metadata"]["uid"] for pod in pods}


def all_ready(number: int) -> Callable[[Things], bool]:
    """Returns a condition: so many pods, each of them ready."""
    return lambda pods: len(pods) == number and all(map(is_ready, pods))
