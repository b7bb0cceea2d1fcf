"""What a configuration means on this machine: one process for each replica, and the edges. Starts nothing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from gpt_server.launcher import engines
from gpt_server.launcher.config import EDGE, ModelConfig, StackConfig
from gpt_server.launcher.engines import EngineProblem
from gpt_server.launcher.yaml_file import BadConfig, YamlFile


@dataclass(frozen=True, slots=True)
class Process:
    """A process to start. Two plans are the same process when all of this is equal.

    Attributes:
        name: unique in the stack.
        python: its interpreter.
        module: what it runs, with `-m`.
        settings: content of its settings file, without what belongs to one run (ports, files).
        env: environment variables on top of the launcher's own.
        models: keys of the models in the user's file.
        devices: numbers of its GPUs.
        defaults: environment variables where the user has set none; a process that runs keeps those it has.
    """

    name: str
    python: str
    module: str
    settings: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    devices: tuple[int, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """All processes of a stack, and the names that callers may ask for."""

    edges: tuple[Process, ...]
    services: tuple[Process, ...]
    expected_models: tuple[str, ...]


def plan(
    config: StackConfig, file: YamlFile, edge_python: str, held: Mapping[str, tuple[int, ...]] | None = None
) -> Plan:
    """Plans a stack. Raises `BadConfig`: an engine is unknown or not installed.

    Args:
        config: what the user wants.
        file: where that stands, for what is wrong with it.
        edge_python: interpreter of the edges.
        held: GPUs of the processes that run, by name; they keep them.
    """
    pythons = _pythons(config, file)
    replicas = [*_replicas(config)]
    devices = _devices(replicas, held or {})
    services = [_service(config, replica, pythons[replica.keys[0]], devices[replica.name]) for replica in replicas]
    names = [name for replica in replicas for key in replica.keys for name in config.served_names(key)]
    return Plan(_edges(config, edge_python), tuple(services), tuple(dict.fromkeys(names)))


@dataclass(frozen=True, slots=True)
class _Replica:
    """A service process: its models, and the first of them, which says what belongs to the process."""

    name: str
    index: int
    keys: tuple[str, ...]
    model: ModelConfig


def _replicas(config: StackConfig) -> Iterator[_Replica]:
    groups: dict[str, list[str]] = {}
    for key, model in config.models.items():
        groups.setdefault(model.local.process or key, []).append(key)
    for name, keys in groups.items():
        first = config.models[keys[0]]
        yield from (_Replica(f"{name}-{index}", index, tuple(keys), first) for index in range(first.replicas))


def _pythons(config: StackConfig, file: YamlFile) -> dict[str, str]:
    """Returns the interpreter of each model. Raises `BadConfig`."""
    pythons: dict[str, str] = {}
    problems = []
    shared: dict[str, str] = {}
    for key, model in config.models.items():
        try:
            pythons[key] = _python(model)
        except EngineProblem as error:
            problems.append(file.problem(("models", key, "engine"), str(error)))
            continue
        other = shared.setdefault(model.local.process or key, key)
        if pythons[key] != pythons[other]:
            at = ("models", key, "local", "process")
            problems.append(file.problem(at, f"cannot be shared with {other}: their engines run in two environments"))
    if problems:
        raise BadConfig(problems)
    return pythons


def _python(model: ModelConfig) -> str:
    found = model.local.python or engines.find(model.service, model.engine).python
    if found is None:
        raise EngineProblem(
            f"the {model.engine} engine is not installed; install it with: gpt-server engines install {model.engine}"
        )
    return str(found)


def _devices(replicas: Sequence[_Replica], held: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Gives out GPUs: those that the file names, those that a replica has already, else the lowest that are free."""
    given = {
        replica.name: tuple(replica.model.local.devices[replica.index])
        for replica in replicas
        if replica.model.local.devices
    }
    taken = {gpu for gpus in given.values() for gpu in gpus}
    rest = [replica for replica in replicas if replica.name not in given]
    for replica in rest:
        gpus = held.get(replica.name, ())
        if len(gpus) == replica.model.gpus and taken.isdisjoint(gpus):
            given[replica.name] = gpus
            taken.update(gpus)
    free = (gpu for gpu in count() if gpu not in taken)
    return given | {
        replica.name: tuple(islice(free, replica.model.gpus)) for replica in rest if replica.name not in given
    }


def _service(config: StackConfig, replica: _Replica, python: str, devices: tuple[int, ...]) -> Process:
    model = replica.model
    settings: dict[str, Any] = {
        "replica": replica.name,
        "models": {key: _settings_of(config, key) for key in replica.keys},
        "log": config.log.model_dump(),
        **_tracing(config),
        "drain_timeout_s": config.drain_timeout_s,
        "grpc": {"port": model.local.port or 0} | ({"host": model.local.host} if model.local.host else {}),
        **_consul(config),
    }
    return Process(
        replica.name,
        python,
        f"gpt_server.services.{model.service}",
        settings,
        {"CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))} | _hub(config) | model.local.env,
        replica.keys,
        devices,
        {} if model.gpus else _defaults(config),
    )


def _settings_of(config: StackConfig, key: str) -> dict[str, Any]:
    model = config.models[key].model_dump(
        include={"engine", "model", "gpus", "limits", "adapters", "adapter_folder", "engine_args"}
    )
    return model | {"names": config.models[key].names or [key]}


def _tracing(config: StackConfig) -> dict[str, Any]:
    return {"tracing": config.tracing} if config.tracing else {}


def _hub(config: StackConfig) -> dict[str, str]:
    home = {"HF_HOME": config.hub.home} if config.hub.home else {}
    return home | ({"HF_HUB_OFFLINE": "1"} if config.hub.offline else {})


def _defaults(config: StackConfig) -> dict[str, str]:
    """Shares the cores among the processes; threads that spin for work would take them from each other."""
    processes = config.edge.processes + sum(model.replicas for model in config.models.values())
    threads = max(1, (os.cpu_count() or 1) // processes)
    openmp = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return openmp | {
        "GRPC_ENABLE_FORK_SUPPORT": "0"
    }  # nobody forks; with it gRPC logs each child that an engine starts


def _edges(config: StackConfig, python: str) -> tuple[Process, ...]:
    settings = config.edge.model_dump(exclude_none=True, exclude={"port", "processes"})
    settings |= _tracing(config) | {"log": config.log.model_dump(), "drain_timeout_s": config.drain_timeout_s}
    settings |= _consul(config, exclude={"advertise_host", "check"})
    return tuple(
        Process(f"{EDGE}-{index}", python, "gpt_server.edge", settings) for index in range(config.edge.processes)
    )


def _consul(config: StackConfig, exclude: set[str] | None = None) -> dict[str, Any]:
    return {"consul": config.consul.model_dump(exclude_none=True, exclude=exclude)} if config.consul else {}
