"""`engine_args` of the lmdeploy engine: those of LMDeploy's own engine configurations, and a few of ours."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_type_hints

from gpt_server.services.common.arguments import LibraryArguments
from gpt_server.services.common.devices import check_sizes, shared_out
from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.lmdeploy import adapters
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS
from gpt_server.services.llm.serving import ServingArguments
from gpt_server.services.llm.source import check_adapters

Backend = Literal["pytorch", "turbomind"]

#: Arguments of LMDeploy that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    "max_batch_size": "set `limits.max_running` of the entry",
    "adapters": "set `adapters` of the entry",
    "dp": "set `replicas` of the entry",
    "dp_rank": "set `replicas` of the entry",
    "logprobs_mode": "log-probabilities are those of the model",
    "enable_mp_engine": "the engine runs in this process",
    "mp_engine_backend": "the engine runs in this process",
    "thread_safe": "the engine has one thread",
    "role": "prompts and outputs are computed in one place",
    "migration_backend": "prompts and outputs are computed in one place",
    "empty_init": "a service has a model",
}

#: Sizes whose product is the number of GPUs of one replica.
PARALLEL = ("tp",)

#: What a service decides, or wants where a configuration says nothing, of the pytorch backend.
OF_PYTORCH: Mapping[str, Any] = {"logprobs_mode": "raw_logprobs", "enable_metrics": False}


class LMDeployArguments(ServingArguments):
    """What is not for LMDeploy's engine configurations. Parsers are ours, and of calls LMDeploy's too."""

    #: Which engine of LMDeploy's.
    backend: Backend = "pytorch"
    #: Whether the model's own code is run.
    trust_remote_code: bool = False
    #: How many pictures a prompt may have. Unset: any number.
    max_images: int | None = None


def serving_arguments(config: EngineConfig) -> LMDeployArguments:
    """Returns what is ours, of a configuration that was found right."""
    serving: LMDeployArguments = _library(_backend(config)).of_engine(config.engine_args)
    return serving


def engine_arguments(config: EngineConfig) -> Any:
    """Returns LMDeploy's own configuration of a backend, without adapters."""
    backend = _backend(config)
    said = {**config.engine_args, **shared_out(config, PARALLEL)}
    wanted = _library(backend).of_library(said, OF_PYTORCH if backend == "pytorch" else {})
    return _kind(backend)(**wanted, max_batch_size=config.max_running)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports LMDeploy: many seconds."""
    backend = _backend(config)
    problems = [*check_model(config.model, ["config.json"]), *_check_adapters(config, backend)]
    problems += _library(backend).check(config.engine_args)
    return problems or [*_check_values(config, backend), *_check_parsers(config), *_check_devices(config)]


def _check_adapters(config: EngineConfig, backend: Backend) -> Sequence[Problem]:
    if config.adapters and backend != "pytorch":
        return [Problem("adapters", f"the {backend} backend of LMDeploy takes none; the pytorch one does")]
    if config.adapter_folder is not None:
        return [Problem("adapter_folder", "LMDeploy loads adapters at the start alone: set `adapters`")]
    if problems := check_adapters(config):
        return problems
    faults = {name: adapters.fault(folder) for name, folder in config.adapters.items()}
    return [Problem(f"adapters.{name}", fault) for name, fault in faults.items() if fault]


def _check_values(config: EngineConfig, backend: Backend) -> Sequence[Problem]:
    """Asks LMDeploy about each value alone: it says what it has against one, but not which one it is."""
    problems = []
    for name, value in config.engine_args.items():
        if name not in LMDeployArguments.model_fields:
            try:
                _kind(backend)(**_library(backend).of_library({name: value}, {}))
            except (AssertionError, TypeError, ValueError) as error:
                fault = f"LMDeploy does not take {value!r}" + (f": {error}" if str(error) else "")
                problems.append(Problem(f"engine_args.{name}", fault))
    return problems


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from lmdeploy.serve.parsers.tool_parser import ToolParserManager

    tools = {*TOOL_PARSERS, *ToolParserManager.module_dict}
    return serving_arguments(config).check("LMDeploy", tools, REASONING_PARSERS)


def _check_devices(config: EngineConfig) -> Sequence[Problem]:
    return check_sizes(config, shared_out(config, PARALLEL)) if config.gpus else []


def _backend(config: EngineConfig) -> Backend:
    return "turbomind" if config.engine_args.get("backend") == "turbomind" else "pytorch"


def _library(backend: Backend) -> LibraryArguments:
    return LibraryArguments(f"LMDeploy ({backend})", get_type_hints(_kind(backend)), LMDeployArguments, ELSEWHERE)


def _kind(backend: Backend) -> Any:
    from gpt_server.services.llm.engines.lmdeploy import library as _told_first  # noqa: F401, I001
    from lmdeploy import messages

    return messages.PytorchEngineConfig if backend == "pytorch" else messages.TurbomindEngineConfig
