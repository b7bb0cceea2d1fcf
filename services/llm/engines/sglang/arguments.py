"""`engine_args` of the sglang engine: SGLang's own server arguments under its names, and a few of ours."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.sglang import library as _told_first  # noqa: F401 (importing it is what counts)
from gpt_server.services.llm.source import check_adapters

#: Arguments of SGLang that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    "model_path": "set `model` of the entry",
    "served_model_name": "set `names` of the entry",
    "device": "set `gpus` of the entry",
    "max_running_requests": "set `limits.max_running` of the entry",
    "max_queued_requests": "set `limits.max_queued` of the entry",
    "enable_lora": "set `adapters` of the entry",
    "lora_paths": "set `adapters` of the entry",
    "tool_call_parser": "set `tool_parser`",
    "is_embedding": "this service generates text",
    "skip_tokenizer_init": "this service works with text",
    "tokenizer_worker_num": "this process is the only one that speaks to the scheduler",
    "grammar_backend": "forms are grammars of xgrammar",
    "stream_interval": "every token is sent when it is there",
    "incremental_streaming_output": "every token is sent once",
    "enable_custom_logit_processor": "some options of requests are made of one",
    "schedule_low_priority_values_first": "the API promises it",
}

#: What differs from SGLang's own defaults where a configuration says nothing: calls bring priorities, which are places
#: in the queue; a running one is not thrown out.
DEFAULTS: Mapping[str, Any] = {
    "enable_priority_scheduling": True,
    "disable_priority_preemption": True,
    "default_priority_value": 0,
    "log_level": "warning",
}

#: What a service decides.
DECIDED: Mapping[str, Any] = {
    "grammar_backend": "xgrammar",
    "incremental_streaming_output": True,
    "enable_custom_logit_processor": True,
}

#: Sizes whose product is the number of GPUs of one replica.
PARALLEL = ("tp_size", "pp_size", "dp_size")


class ServingArguments(BaseModel):
    """What is not for SGLang's engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: How tool calls are written: a name of SGLang's. Unset: what it finds in the chat template; `none`: tools are
    #: refused.
    tool_parser: str | None = None
    #: How reasoning is marked: a name of SGLang's. Unset: what it finds in the chat template; `none`: part of the
    #: content.
    reasoning_parser: str | None = None
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None


def serving_arguments(config: EngineConfig) -> ServingArguments:
    """Returns what is ours, of a configuration that was found right."""
    return ServingArguments(
        **{name: value for name, value in config.engine_args.items() if name in ServingArguments.model_fields}
    )


def engine_arguments(config: EngineConfig) -> dict[str, Any]:
    """Returns what is SGLang's, of a configuration that was found right."""
    said = {name: value for name, value in config.engine_args.items() if name not in ServingArguments.model_fields}
    wanted = {**DEFAULTS, **DECIDED, **said, **parallel_sizes(config)}
    wanted |= {"model_path": config.model, "max_running_requests": config.max_running}
    if wanted["enable_priority_scheduling"]:
        wanted["schedule_low_priority_values_first"] = True
    else:
        wanted |= {"disable_priority_preemption": False, "default_priority_value": None}
    if not config.gpus:
        wanted["device"] = "cpu"
    if config.adapters:
        room = max(len(config.adapters) + 1, wanted.get("max_loras_per_batch", 0))
        wanted |= {"enable_lora": True, "lora_paths": dict(config.adapters), "max_loras_per_batch": room}
    return wanted


def parallel_sizes(config: EngineConfig) -> dict[str, int]:
    """Returns the sizes that `engine_args` say; unsaid, the tensor parallel size is what makes use of all GPUs."""
    said = {name: config.engine_args[name] for name in PARALLEL if name in config.engine_args}
    if "tp_size" not in said and config.gpus:
        said["tp_size"] = max(1, config.gpus // _product(said))
    return said


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports SGLang: many seconds."""
    problems = [
        *check_model(config.model, ["config.json"]),
        *(check_adapters(config) or _check_targets(config.adapters)),
        *_check_names_and_values(config.engine_args),
    ]
    return problems or [*_check_parsers(config), *_check_devices(config)]


def _check_targets(adapters: Mapping[str, str]) -> Sequence[Problem]:
    """Returns which adapters SGLang cannot load: it would find out in a request, and its scheduler would die of it."""
    problems = []
    for name, folder in adapters.items():
        targets = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))["target_modules"]
        found = {kind for kind in ("q_proj", "k_proj", "v_proj") if any(kind in target for target in targets)}
        if found and not {"q_proj", "v_proj"} <= found:
            message = f"changes {', '.join(sorted(found))}; of these SGLang takes q_proj and v_proj together, or none"
            problems.append(Problem(f"adapters.{name}", message))
    return problems


def _check_names_and_values(engine_args: Mapping[str, Any]) -> Sequence[Problem]:
    from sglang.srt.server_args import ServerArgs

    kinds = {field.name: field.type for field in msgspec.structs.fields(ServerArgs)}
    known = {*kinds, *ServingArguments.model_fields} - ELSEWHERE.keys()
    problems = []
    for name, value in engine_args.items():
        if name in ELSEWHERE:
            fault = f"not taken here: {ELSEWHERE[name]}"
        elif name not in known:
            meant = get_close_matches(name, known, 1)
            fault = "SGLang has no such argument" + (f"; did you mean {meant[0]}?" if meant else "")
        elif name in ServingArguments.model_fields:
            fault = _fault_of_ours(name, value)
        else:
            fault = _fault(kinds[name], value)
        if fault:
            problems.append(Problem(f"engine_args.{name}", fault))
    return problems


def _fault(kind: Any, value: Any) -> str:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    except TypeError:  # a type that can only be made, not written
        return ""
    choices = next((found for part in get_args(kind) if (found := getattr(part, "choices", None))), None)
    values = value if isinstance(value, list) else [value]
    if choices and value is not None and not all(each in choices for each in values):
        return f"must be one of {', '.join(sorted(map(str, choices)))}; got {value!r}"
    return ""


def _fault_of_ours(name: str, value: Any) -> str:
    try:
        ServingArguments(**{name: value})
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from sglang.srt.function_call.function_call_parser import FunctionCallParser
    from sglang.srt.parser.reasoning_parser import ReasoningParser

    serving = serving_arguments(config)
    problems = []
    for key, name, allowed in (
        ("tool_parser", serving.tool_parser, FunctionCallParser.ToolCallParserEnum),
        ("reasoning_parser", serving.reasoning_parser, ReasoningParser.DetectorMap),
    ):
        if name not in (None, "none", *allowed):
            message = f"SGLang has no {name!r}; allowed: none, {', '.join(sorted(allowed))}"
            problems.append(Problem(f"engine_args.{key}", message))
    if serving.chat_template and not Path(serving.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {serving.chat_template}"))
    return problems


def _check_devices(config: EngineConfig) -> Sequence[Problem]:
    sizes = parallel_sizes(config)
    if config.gpus and (wanted := _product(sizes)) != config.gpus:
        said = " × ".join(f"{name} {size}" for name, size in sizes.items())
        return [Problem("gpus", f"is {config.gpus}, but {said} makes {wanted}")]
    return []


def _product(sizes: Mapping[str, int]) -> int:
    product = 1
    for size in sizes.values():
        product *= size
    return product
