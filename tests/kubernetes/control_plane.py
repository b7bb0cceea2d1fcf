"""A real Kubernetes control plane on loopback: etcd, kube-apiserver, controllers, scheduler; kwok plays the nodes."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.kubernetes.api import Api, holds
from tests.support.needs import need

LIMIT_S = 240.0  # only so that a failure ends
STAGES = Path(__file__).with_name("stages.yaml")
TOKEN = "test"
GPU = "nvidia.com/gpu"


def node(name: str, product: str = "", gpus: int = 0) -> dict[str, Any]:
    """Returns a Node; one with GPUs has the labels and the taint that NVIDIA's operator and its owner give it."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    capacity = {"cpu": "64", "memory": "512Gi", "pods": "110", **({GPU: str(gpus)} if gpus else {})}
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if gpus else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | ({f"{GPU}.product": product} if gpus else {})},
        "spec": {"taints": taints},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


NODES = (
    node("cpu-0"),
    node("cpu-1"),
    node("h100-0", "NVIDIA-H100-80GB-HBM3", 8),
    node("h100-1", "NVIDIA-H100-80GB-HBM3", 8),
    node("l40s-0", "NVIDIA-L40S", 4),
    node("t4-0", "Tesla-T4", 4),
)


class ControlPlane:
    """The processes; everything lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        with ExitStack() as held:
            free = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            self._etcd, self._peer, self._port = (one.getsockname()[1] for one in free)
        self._processes: list[asyncio.subprocess.Process] = []
        self.api = Api(f"https://127.0.0.1:{self._port}", TOKEN)

    async def start(self) -> None:
        """Starts everything and waits until nodes are ready."""
        self._write_files()
        etcd, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd, self._peer))
        await self._run(
            "etcd",
            **{"data-dir": self.folder / "etcd", "listen-client-urls": etcd, "advertise-client-urls": etcd},
            **{"listen-peer-urls": peer, "initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}"},
            **{"unsafe-no-fsync": "true", "log-level": "error"},
        )
        await self._run(
            "kube-apiserver",
            **{"etcd-servers": etcd, "bind-address": "127.0.0.1", "secure-port": self._port},
            **{"cert-dir": self.folder / "certificates", "token-auth-file": self.folder / "tokens.csv"},
            **{"authorization-mode": "RBAC", "service-cluster-ip-range": "10.96.0.0/16"},
            **{"service-account-key-file": self.folder / "account.key", "endpoint-reconciler-type": "none"},
            **{"service-account-signing-key-file": self.folder / "account.key"},
            **{"service-account-issuer": "https://kubernetes.default.svc"},
        )
        await self._until_ready()
        own = {"kubeconfig": self.kubeconfig, "leader-elect": "false"}
        key = {"service-account-private-key-file": self.folder / "account.key"}
        await self._run("kube-controller-manager", **own, **key, **{"secure-port": 0})
        await self._run("kube-scheduler", **own, **{"secure-port": 0})
        await self._run("kwok", kubeconfig=self.kubeconfig, config=STAGES, **{"manage-all-nodes": "true"})
        for one in NODES:
            await self.api.post("/api/v1/nodes", one)
        await self.api.until("/api/v1/nodes", lambda nodes: sum(map(is_ready, nodes)) == len(NODES))

    async def stop(self) -> None:
        """Ends everything."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run(self, program: str, **flags: Any) -> None:
        with (self.folder / f"{program}.log").open("wb") as log:
            arguments = [f"--{name}={value}" for name, value in flags.items()]
            self._processes.append(
                await asyncio.create_subprocess_exec(need(program), *arguments, stdout=log, stderr=log)
            )

    async def _until_ready(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError, AssertionError):
                    await self.api.text("/readyz")
                    return
                (ended,) = {process.returncode for process in self._processes}
                assert ended is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
                await asyncio.sleep(0.1)  # a server that starts has nothing to wait on

    def _write_files(self) -> None:
        key = ("openssl", "genrsa", "-out", str(self.folder / "account.key"), "2048")
        subprocess.run([need("openssl"), *key[1:]], check=True, capture_output=True, timeout=60)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": self.api.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))


def is_ready(thing: Mapping[str, Any]) -> bool:
    """Whether a node or a pod says that it is ready."""
    return holds("Ready", thing)


@asynccontextmanager
async def control_plane(folder: Path) -> AsyncIterator[ControlPlane]:
    """Runs a control plane with nodes that are ready, and leaves nothing behind."""
    running = ControlPlane(folder)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        await running.api.close()
