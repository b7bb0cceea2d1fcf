"""`engine_args` of the lmdeploy engine: those of LMDeploy's own engine configurations, and a few of ours."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
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
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None


def serving_arguments(config: EngineConfig) -> ServingArguments:
    """Returns what is ours, of a configuration that was found right."""
    return ServingArguments(
        **{name: value for name, value in config.engine_args.items() if name in ServingArguments.model_fields}
    )


def engine_arguments(config: EngineConfig) -> Any:
    """Returns LMDeploy's own configuration of a backend."""
    said = {name: value for name, value in config.engine_args.items() if name not in ServingArguments.model_fields}
    said["max_batch_size"] = config.max_running
    if config.gpus:
        said.setdefault("tp", config.gpus)
    backend = serving_arguments(config).backend
    if backend == "pytorch":
        said = {**OF_PYTORCH, **said}
        if config.adapters:
            said["adapters"] = dict(config.adapters)
    return _kind(backend)(**said)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports LMDeploy: many seconds."""
    problems = [*check_model(config.model, ["config.json"]), *check_adapters(config), *_check_ours(config)]
    if not problems:
        backend = serving_arguments(config).backend
        problems = [*_check_names_and_values(config, backend), *_check_parser(config)]
        if config.adapters and backend != "pytorch":
            problems.append(Problem("adapters", f"the {backend} backend of LMDeploy takes none; the pytorch one does"))
    return problems


def _check_ours(config: EngineConfig) -> Sequence[Problem]:
    said = {name: value for name, value in config.engine_args.items() if name in ServingArguments.model_fields}
    try:
        serving = ServingArguments(**said)
    except ValidationError as error:
        return [Problem(f"engine_args.{each['loc'][0]}", str(each["msg"])) for each in error.errors()]
    problems = []
    if serving.reasoning_parser not in (None, "none", *REASONING_PARSERS):
        allowed = ", ".join(("none", *sorted(REASONING_PARSERS)))
        problems.append(Problem("engine_args.reasoning_parser", f"no {serving.reasoning_parser!r}; allowed: {allowed}"))
    if serving.chat_template and not Path(serving.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {serving.chat_template}"))
    return problems


def _check_parser(config: EngineConfig) -> Sequence[Problem]:
    from lmdeploy.serve.parsers.tool_parser import ToolParserManager

    name, known = serving_arguments(config).tool_parser, {*TOOL_PARSERS, *ToolParserManager.module_dict}
    if name in (None, "none", *known):
        return []
    return [Problem("engine_args.tool_parser", f"no {name!r}; allowed: none, {', '.join(sorted(known))}")]


def _check_names_and_values(config: EngineConfig, backend: Backend) -> Sequence[Problem]:
    hints = get_type_hints(_kind(backend))
    known = {*hints, *ServingArguments.model_fields} - ELSEWHERE.keys()
    problems = []
    for name, value in config.engine_args.items():
        if name in ELSEWHERE:
            fault = f"not taken here: {ELSEWHERE[name]}"
        elif name not in known:
            meant = get_close_matches(name, known, 1)
            fault = f"LMDeploy's {backend} backend has no such argument"
            fault += f"; did you mean {meant[0]}?" if meant else ""
        else:
            fault = "" if name in ServingArguments.model_fields else _fault(backend, hints[name], name, value)
        if fault:
            problems.append(Problem(f"engine_args.{name}", fault))
    tp = config.engine_args.get("tp", config.gpus or 1)
    if not problems and config.gpus and tp != config.gpus:
        problems.append(Problem("gpus", f"is {config.gpus}, but tp is {tp}"))
    return problems


def _fault(backend: Backend, hint: Any, name: str, value: Any) -> str:
    """Returns what LMDeploy has against a value; it says little itself, and what is missing may be a default."""
    try:
        if hint in (bool, int, float, str):
            TypeAdapter(hint).validate_python(value, strict=True)
        _kind(backend)(**{name: value})
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    except (AssertionError, TypeError, ValueError) as error:
        return f"LMDeploy does not take {value!r}" + (f": {error}" if str(error) else "")
    return ""


def _kind(backend: Backend) -> Any:
    from gpt_server.services.llm.engines.lmdeploy import library as _told_first  # noqa: F401
    from lmdeploy import messages

    return messages.PytorchEngineConfig if backend == "pytorch" else messages.TurbomindEngineConfig
