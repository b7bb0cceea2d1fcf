"""A control plane that many tests share: each installs into a namespace of its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.kubernetes.control_plane import ControlPlane, control_plane
from tests.kubernetes.crds import crds, established

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
STORAGE_CLASS = {
    "metadata": {"name": "shared", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
}
VOLUMES = 8
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """A control plane with nodes, with and without GPUs, and the custom resources that the chart may make."""
    async with control_plane(tmp_path_factory.mktemp("cluster")) as running:
        for definition in crds():
            await running.api.post(CRDS, definition)
        await running.api.until(CRDS, established)
        await running.api.post(CLASSES, STORAGE_CLASS)
        for number in range(VOLUMES):
            await running.api.post("/api/v1/persistentvolumes", volume(f"volume-{number}"))
        yield running


def volume(name: str) -> dict[str, Any]:
    """Returns a volume that claims of models may have."""
    spec = {"storageClassName": "shared", "capacity": {"storage": "1Ti"}, "nfs": {"server": "nfs", "path": "/"}}
    return {"metadata": {"name": name}, "spec": spec | {"accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}
