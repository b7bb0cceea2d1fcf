"""The chart on a real control plane: admitted, scheduled, upgraded, rolled back, guarded, uninstalled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kubernetes.chart import CHART, EXAMPLES, PREFIX, RELEASE, render
from tests.kubernetes.control_plane import GPU, ControlPlane
from tests.kubernetes.release import Release, all_ready, uids

pytestmark = pytest.mark.asyncio(loop_scope="session")

POOLS = {
    "large": ("h100", 2, 4),
    "small": (None, 3, 1),
    "embed": ("t4", 1, 1),
    "listen": ("t4", 1, 1),
    "draw": ("l40s", 1, 1),
}
"""Model of the example gpu-pools -> its nodes (`None`: of two kinds), how many pods, GPUs of each."""
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
LEFT = ("pods", "services", "configmaps", "serviceaccounts", "persistentvolumeclaims")


@asynccontextmanager
async def release(cluster: ControlPlane, namespace: str) -> AsyncIterator[Release]:
    """A namespace for a release, which is gone from the nodes at the end."""
    running = Release(cluster, namespace)
    await running.prepare()
    try:
        yield running
    finally:
        await running.helm("uninstall", RELEASE, "--wait", "--ignore-not-found")
        await running.until_pods(lambda pods: not pods)


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_object_is_admitted_strictly(cluster: ControlPlane, example: str) -> None:
    """An unknown or misspelt field anywhere would be refused, and a pod that is not `restricted` too."""
    running = Release(cluster, f"strict-{example}")
    await running.prepare()
    for one in render(EXAMPLES[example]):
        kind = one["kind"]
        group = one["apiVersion"] if "/" in one["apiVersion"] else None
        path = running.path(PLURALS.get(kind, f"{kind.lower()}s"), f"apis/{group}" if group else "api/v1")
        one["metadata"].pop("namespace", None)
        status, answer = await cluster.api.ask("POST", f"{path}?dryRun=All&fieldValidation=Strict", one)
        assert status == 201, f"{kind} {one['metadata']['name']}: {answer}"


async def test_pods_run_where_their_gpus_are(cluster: ControlPlane) -> None:
    async with release(cluster, "pools") as running:
        await running.claim("models")
        await running.install(EXAMPLES["gpu-pools"])
        await running.until_pods(all_ready(2 + sum(number for _, number, _ in POOLS.values())))
        pods = await running.pods()
        nodes = {model: sorted(pod["spec"]["nodeName"] for pod in found) for model, found in pods.items()}
        for model, (pool, number, gpus) in POOLS.items():
            assert len(nodes[model]) == number
            for pod in pods[model]:
                assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == str(gpus)
            assert pool is None or {node.rpartition("-")[0] for node in nodes[model]} == {pool}
        assert [node.rpartition("-")[0] for node in nodes["small"]] == ["h100", "l40s", "l40s"]
        assert nodes["edge"] == ["cpu-0", "cpu-1"], "as many as its autoscaler keeps at least, spread over nodes"
        await check_made_by_operators(running)


async def check_made_by_operators(running: Release) -> None:
    """What other programs act upon is there."""
    for path in (
        running.path("horizontalpodautoscalers", "apis/autoscaling/v2"),
        running.path("scaledobjects", "apis/keda.sh/v1alpha1"),
        running.path("servicemonitors", "apis/monitoring.coreos.com/v1"),
        running.path("prometheusrules", "apis/monitoring.coreos.com/v1"),
        running.path("httproutes", "apis/gateway.networking.k8s.io/v1"),
        running.path("certificates", "apis/cert-manager.io/v1"),
        running.path("networkpolicies", "apis/networking.k8s.io/v1"),
    ):
        assert (await running.cluster.api.get(path))["items"], path


async def test_more_gpus_than_a_node_has_wait(cluster: ControlPlane) -> None:
    """Nothing else is given in their place. Helm does not wait for them: with `maxSurge: 0` none has to be ready."""
    async with release(cluster, "too-many") as running:
        await running.install(EXAMPLES["one-gpu-node"], {"models": {"chat": {"gpus": 9}}})
        await running.until_pods(lambda pods: any(map(unschedulable, pods)))
        (waiting,) = (await running.pods())["chat"]
        assert "nodeName" not in waiting["spec"]
        assert f"Insufficient {GPU}" in unschedulable(waiting)


def unschedulable(pod: Any) -> str:
    """Returns why the scheduler has no node for a pod; empty if it has."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return next((one["message"] for one in conditions if one.get("reason") == "Unschedulable"), "")


async def test_one_service_is_scaled_and_no_other_restarts(cluster: ControlPlane) -> None:
    async with release(cluster, "scaling") as running:
        await running.install(EXAMPLES["cpu-demo"])
        before = await running.pods()
        await running.upgrade({"models": {"demo-voice": {"replicas": 3}}})
        await running.until_pods(all_ready(6))
        scaled = await running.pods()
        assert len(scaled["demo-voice"]) == 3
        assert uids(before["demo-voice"]) < uids(scaled["demo-voice"]), "the one that was there stays"
        for other in ("edge", "demo-chat", "demo-ear"):
            assert uids(scaled[other]) == uids(before[other])
        await running.helm("rollback", RELEASE, "--wait")
        await running.until_pods(all_ready(4))
        back = await running.pods()
        assert uids(back["demo-voice"]) < uids(scaled["demo-voice"])
        for other in ("edge", "demo-chat", "demo-ear"):
            assert uids(back[other]) == uids(before[other])


async def test_new_settings_restart_one_service(cluster: ControlPlane) -> None:
    async with release(cluster, "settings") as running:
        await running.install(EXAMPLES["cpu-demo"])
        before = await running.pods()
        await running.upgrade({"models": {"demo-voice": {"limits": {"max_running": 2}}}})
        await running.until_pods(lambda pods: all_ready(4)(pods) and not uids(before["demo-voice"]) & uids(pods))
        after = await running.pods()
        for other in ("edge", "demo-chat", "demo-ear"):
            assert uids(after[other]) == uids(before[other])


async def test_the_last_replica_is_not_evicted(cluster: ControlPlane) -> None:
    async with release(cluster, "guarded") as running:
        await running.install(EXAMPLES["cpu-demo"], {"models": {"demo-voice": {"replicas": 2}}})
        budgets = running.path("poddisruptionbudgets", "apis/policy/v1")
        name = f"{PREFIX}-demo-voice"

        def allows(number: int) -> Any:
            return lambda found: any(
                one["metadata"]["name"] == name and one.get("status", {}).get("disruptionsAllowed") == number
                for one in found
            )

        await cluster.api.until(budgets, allows(1))
        first = (await running.pods())["demo-voice"][0]
        assert (await evict(running, first))[0] == 201
        await running.upgrade({"models": {"demo-voice": {"replicas": 1}}})
        await running.until_pods(all_ready(4))
        await cluster.api.until(budgets, allows(0))
        (last,) = (await running.pods())["demo-voice"]
        status, answer = await evict(running, last)
        assert status == 429, answer
        assert answer["details"]["causes"][0]["reason"] == "DisruptionBudget"
        assert uids((await running.pods())["demo-voice"]) == uids([last])


async def evict(running: Release, pod: Any) -> tuple[int, Any]:
    """Asks for a pod to go as `kubectl drain` does; returns status and answer."""
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await running.cluster.api.ask("POST", f"{running.path('pods')}/{name}/eviction", eviction)


async def test_restricted_is_enforced_here(cluster: ControlPlane) -> None:
    """A model on a folder of its node is refused: that the others are admitted means something."""
    async with release(cluster, "refused") as running:
        models = {"demo-voice": {"kubernetes": {"modelVolume": {"hostPath": "/data"}}}}
        values = [str(EXAMPLES["cpu-demo"]), "--timeout", "3s"]
        said = await running.helm(
            "install", RELEASE, str(CHART), "--wait", "--values", *values, values={"models": models}, fails=True
        )
        assert "restricted volume types" in said
        sets = running.path("replicasets", "apis/apps/v1")
        found = await cluster.api.until(sets, lambda all_: any("conditions" in one.get("status", {}) for one in all_))
        (failed,) = (one["status"]["conditions"][0] for one in found if "conditions" in one["status"])
        assert failed["reason"] == "FailedCreate"
        assert 'violates PodSecurity "restricted:latest"' in failed["message"]
        assert "demo-voice" not in await running.pods()


async def test_uninstalling_leaves_nothing(cluster: ControlPlane) -> None:
    """Nothing but a claim with models in it."""
    running = Release(cluster, "gone")
    await running.prepare()
    before = {kind: await names(running, kind) for kind in LEFT}
    await running.install(EXAMPLES["one-gpu-node"])
    made = {kind: await names(running, kind) for kind in LEFT}
    assert all(made[kind] > before[kind] for kind in LEFT)
    await running.helm("uninstall", RELEASE, "--wait")
    await running.until_pods(lambda pods: not pods)
    kept = {"persistentvolumeclaims": {f"{PREFIX}-chat"}}
    assert {kind: await names(running, kind) for kind in LEFT} == before | kept
    for kind, group in (("deployments", "apps/v1"), ("networkpolicies", "networking.k8s.io/v1")):
        assert not (await cluster.api.get(running.path(kind, f"apis/{group}")))["items"]


async def names(running: Release, kind: str) -> set[str]:
    """Returns the names of all things of a kind."""
    return {one["metadata"]["name"] for one in (await running.cluster.api.get(running.path(kind)))["items"]}
