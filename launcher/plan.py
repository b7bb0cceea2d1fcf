"""What a configuration means on this machine: one process for each replica, and the edges. Starts nothing."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

from gpt_server.launcher import engines
from gpt_server.launcher.config import ModelConfig, StackConfig
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
    """

    name: str
    python: str
    module: str
    settings: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All processes of a stack, and the names that callers may ask for."""

    edges: tuple[Process, ...]
    services: tuple[Process, ...]
    expected_models: tuple[str, ...]


def plan(config: StackConfig, file: YamlFile, edge_python: str) -> Plan:
    """Plans a stack. Raises `BadConfig`: an engine is unknown or not installed."""
    pythons, problems = {}, []
    for key, model in config.models.items():
        try:
            pythons[key] = _python(model)
        except EngineProblem as error:
            problems.append(file.problem(("models", key, "engine"), str(error)))
    if problems:
        raise BadConfig(problems)
    groups: dict[str, list[str]] = {}
    for key, model in config.models.items():
        groups.setdefault(model.local.process or key, []).append(key)
    devices = count()
    services = [
        _service(config, name, index, keys, pythons[keys[0]], _devices(config.models[keys[0]], index, devices))
        for name, keys in groups.items()
        for index in range(config.models[keys[0]].replicas)
    ]
    running = [key for key, model in config.models.items() if model.replicas]
    names = tuple(name for key in running for name in config.served_names(key))
    return Plan(_edges(config, edge_python), tuple(services), names)


def _python(model: ModelConfig) -> str:
    engines.find(model.service, model.engine)
    found = model.local.python or engines.python_of(model.engine)
    if found is None:
        raise EngineProblem(
            f"the {model.engine} engine is not installed; install it with: gpt-server engines install {model.engine}"
        )
    return str(found)


def _devices(model: ModelConfig, index: int, free: Any) -> list[int]:
    given = model.local.devices
    return given[index] if given is not None else list(islice(free, model.gpus))


def _service(config: StackConfig, name: str, index: int, keys: list[str], python: str, devices: list[int]) -> Process:
    first = config.models[keys[0]]
    models = {key: _settings_of(config, key) for key in keys}
    settings: dict[str, Any] = {
        "replica": f"{name}-{index}",
        "models": models,
        "log": config.log.model_dump(),
        "drain_timeout_s": config.drain_timeout_s,
        "grpc": {"port": first.local.port or 0},
    }
    env = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))} | _hub(config)
    if not first.gpus:
        env |= _cpu_threads(config)
    return Process(
        f"{name}-{index}", python, f"gpt_server.services.{first.service}", settings, env | first.local.env, tuple(keys)
    )


def _settings_of(config: StackConfig, key: str) -> dict[str, Any]:
    model = config.models[key].model_dump(include={"engine", "model", "gpus", "limits", "adapters", "engine_args"})
    return model | {"names": config.served_names(key)}


def _hub(config: StackConfig) -> dict[str, str]:
    home = {"HF_HOME": str(Path(config.hub.home).expanduser())} if config.hub.home else {}
    return home | ({"HF_HUB_OFFLINE": "1"} if config.hub.offline else {})


def _cpu_threads(config: StackConfig) -> dict[str, str]:
    """Shares the cores among the processes; threads that spin for work would take them from each other."""
    processes = config.edge.processes + sum(model.replicas for model in config.models.values())
    threads = max(1, (os.cpu_count() or 1) // processes)
    wanted = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _edges(config: StackConfig, python: str) -> tuple[Process, ...]:
    settings = config.edge.model_dump(exclude_none=True, exclude={"port", "processes"})
    settings |= {"log": config.log.model_dump(), "drain_timeout_s": config.drain_timeout_s}
    return tuple(
        Process(f"edge-{index}", python, "gpt_server.edge", settings) for index in range(config.edge.processes)
    )
