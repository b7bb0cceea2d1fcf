"""`engine_args` of the lmdeploy engine: those of LMDeploy's own engine configurations, and a few of ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict

from gpt_server.services.common.arguments import LibraryArguments
from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.lmdeploy import adapters
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS
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

#: What a service decides, or wants where a configuration says nothing, of the pytorch backend.
OF_PYTORCH: Mapping[str, Any] = {"logprobs_mode": "raw_logprobs", "enable_metrics": False}


class ServingArguments(BaseModel):
    """What is not for LMDeploy's engine configurations."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Which engine of LMDeploy's.
    backend: Backend = "pytorch"
    #: Whether the model's own code is run.
    trust_remote_code: bool = False
    #: How tool calls are written: a name of ours or of LMDeploy's. Unset: guessed from the chat template; `none`: tools
    #: are refused.
    tool_parser: str | None = None
    #: How reasoning is marked: a name of ours. Unset: guessed from the chat template; `none`: part of the content.
    reasoning_parser: str | None = None
    #: How many pictures a prompt may have. Unset: any number.
    max_images: int | None = None
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None


def serving_arguments(config: EngineConfig) -> ServingArguments:
    """Returns what is ours, of a configuration that was found right."""
    ours = {name: value for name, value in config.engine_args.items() if name in ServingArguments.model_fields}
    return ServingArguments(**ours)


def engine_arguments(config: EngineConfig) -> Any:
    """Returns LMDeploy's own configuration of a backend, without adapters."""
    backend = serving_arguments(config).backend
    said = _library(backend).of_library(config.engine_args, OF_PYTORCH if backend == "pytorch" else {})
    if config.gpus:
        said.setdefault("tp", config.gpus)
    return _kind(backend)(**said, max_batch_size=config.max_running)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports LMDeploy: many seconds."""
    said = config.engine_args.get("backend")
    backend: Backend = "turbomind" if said == "turbomind" else "pytorch"
    problems = [*check_model(config.model, ["config.json"]), *_check_adapters(config, backend)]
    problems += _library(backend).check(config.engine_args)
    return problems or [*_check_values(config, backend), *_check_parsers(config)]


def _check_adapters(config: EngineConfig, backend: Backend) -> Sequence[Problem]:
    if config.adapters and backend != "pytorch":
        return [Problem("adapters", f"the {backend} backend of LMDeploy takes none; the pytorch one does")]
    if problems := check_adapters(config):
        return problems
    faults = {name: adapters.fault(folder) for name, folder in config.adapters.items()}
    return [Problem(f"adapters.{name}", fault) for name, fault in faults.items() if fault]


def _check_values(config: EngineConfig, backend: Backend) -> Sequence[Problem]:
    """Asks LMDeploy about each value alone: it says what it has against one, but not which one it is."""
    problems = []
    for name, value in config.engine_args.items():
        if name not in ServingArguments.model_fields:
            try:
                _kind(backend)(**_library(backend).of_library({name: value}, {}))
            except (AssertionError, TypeError, ValueError) as error:
                fault = f"LMDeploy does not take {value!r}" + (f": {error}" if str(error) else "")
                problems.append(Problem(f"engine_args.{name}", fault))
    tp = config.engine_args.get("tp", config.gpus)
    if config.gpus and tp != config.gpus:
        problems.append(Problem("gpus", f"is {config.gpus}, but tp is {tp}"))
    return problems


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from lmdeploy.serve.parsers.tool_parser import ToolParserManager

    serving = serving_arguments(config)
    problems = []
    for key, name, allowed in (
        ("tool_parser", serving.tool_parser, {*TOOL_PARSERS, *ToolParserManager.module_dict}),
        ("reasoning_parser", serving.reasoning_parser, set(REASONING_PARSERS)),
    ):
        if name not in (None, "none", *allowed):
            message = f"there is no {name!r}; allowed: none, {', '.join(sorted(allowed))}"
            problems.append(Problem(f"engine_args.{key}", message))
    if serving.chat_template and not Path(serving.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {serving.chat_template}"))
    return problems


def _library(backend: Backend) -> LibraryArguments:
    return LibraryArguments(f"LMDeploy ({backend})", get_type_hints(_kind(backend)), ServingArguments, ELSEWHERE)


def _kind(backend: Backend) -> Any:
    from gpt_server.services.llm.engines.lmdeploy import library as _told_first  # noqa: F401, I001
    from lmdeploy import messages

    return messages.PytorchEngineConfig if backend == "pytorch" else messages.TurbomindEngineConfig
