"""`engine_args` of the sglang engine: SGLang's own server arguments under its names, and a few of ours."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

import msgspec
from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from gpt_server.services.common.arguments import LibraryArguments
from gpt_server.services.common.devices import check_sizes, shared_out
from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.sglang import library as _told_first  # noqa: F401 (importing it is what counts)
from gpt_server.services.llm.serving import ServingArguments
from gpt_server.services.llm.source import check_adapters, known_adapters

#: Arguments of SGLang that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    "model_path": "set `model` of the entry",
    "served_model_name": "set `names` of the entry",
    "device": "set `gpus` of the entry",
    "max_running_requests": "set `limits.max_running` of the entry",
    "max_queued_requests": "set `limits.max_queued` of the entry",
    "enable_lora": "set `adapters` or `adapter_folder` of the entry",
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

#: Sizes whose product is the number of GPUs of one replica, tensor parallel first.
PARALLEL = ("tp_size", "pp_size", "dp_size")

#: What adapters of a folder may change, beside what those change that it holds now: the layers of most models.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: Reserved for adapters of a folder that is still empty.
DEFAULT_RANK = 16


def serving_arguments(config: EngineConfig) -> ServingArguments:
    """Returns what is ours, of a configuration that was found right."""
    serving: ServingArguments = _arguments().of_engine(config.engine_args)
    return serving


def engine_arguments(config: EngineConfig) -> dict[str, Any]:
    """Returns what is SGLang's, of a configuration that was found right, defaults of ours included."""
    said = {**config.engine_args, **parallel_sizes(config)}
    wanted = {**_arguments().of_library(said, {**DEFAULTS, **_lora(config)}), **DECIDED}
    wanted |= {"model_path": config.model, "max_running_requests": config.max_running}
    if wanted["enable_priority_scheduling"]:
        wanted["schedule_low_priority_values_first"] = True
    else:
        wanted |= {"disable_priority_preemption": False, "default_priority_value": None}
    if not config.gpus:
        wanted["device"] = "cpu"
    return wanted


def _lora(config: EngineConfig) -> Mapping[str, Any]:
    """Returns what SGLang reserves for adapters: enough for those that are known now, and for none at all."""
    known = known_adapters(config)
    if config.adapter_folder is None and not known:
        return {}
    said = [adapter.get("target_modules") or () for adapter in known]
    targets = {"all"}
    if not any(isinstance(one, str) for one in said):  # not a list: a pattern, or what PEFT calls all layers
        targets = {*(TARGETS if config.adapter_folder else ()), *(target for one in said for target in one)}
    return {
        "enable_lora": True,
        "max_loras_per_batch": max(len(known), 1) + 1,
        "max_lora_rank": max((adapter.get("r", 0) for adapter in known), default=DEFAULT_RANK),
        "lora_target_modules": sorted(targets),
    }


def parallel_sizes(config: EngineConfig) -> dict[str, int]:
    """Returns the sizes that `engine_args` say; unsaid, the tensor parallel size is what makes use of all GPUs."""
    return shared_out(config, PARALLEL)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports SGLang: many seconds."""
    problems = [
        *check_model(config.model, ["config.json"]),
        *check_adapters(config),
        *_arguments().check(config.engine_args),
    ]
    return problems or [*_check_parsers(config), *_check_devices(config)]


def _arguments() -> LibraryArguments:
    from sglang.srt.server_args import ServerArgs

    kinds = {field.name: _read_as(field.type) for field in msgspec.structs.fields(ServerArgs)}
    return LibraryArguments("SGLang", kinds, ServingArguments, ELSEWHERE)


def _read_as(kind: Any) -> Any:
    """Returns a type of SGLang's, which are msgspec's and may name choices, as a type that pydantic checks."""
    choices = next((found for part in get_args(kind) if (found := getattr(part, "choices", None))), None)

    def read(value: Any) -> Any:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise PydanticCustomError("type", "{fault}", {"fault": str(error)}) from error
        except TypeError:  # a type that can only be made, not written
            return value
        values = value if isinstance(value, list) else [value]
        if choices and value is not None and not all(each in choices for each in values):
            fault = f"must be one of {', '.join(sorted(map(str, choices)))}; got {value!r}"
            raise PydanticCustomError("choice", "{fault}", {"fault": fault})
        return value

    return Annotated[Any, PlainValidator(read)]


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from sglang.srt.function_call.function_call_parser import FunctionCallParser
    from sglang.srt.parser.reasoning_parser import ReasoningParser

    known = (FunctionCallParser.ToolCallParserEnum, ReasoningParser.DetectorMap)
    return serving_arguments(config).check("SGLang", *known)


def _check_devices(config: EngineConfig) -> Sequence[Problem]:
    sizes = parallel_sizes(config)
    if sizes.get("dp_size", 1) > 1 and (config.adapters or config.adapter_folder):
        return [Problem("engine_args.dp_size", "SGLang loads no adapters then; set `replicas` of the entry")]
    return check_sizes(config, sizes) if config.gpus else []
