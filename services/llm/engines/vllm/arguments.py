"""`engine_args` of the vllm engine: vLLM's own engine arguments under its names, and a few of its server's."""

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.vllm import library as _told_first  # noqa: F401 (importing it is what counts)
from gpt_server.services.llm.source import check_adapters, check_model

#: Arguments of vLLM that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    "model": "set `model` of the entry",
    "served_model_name": "set `names` of the entry",
    "max_num_seqs": "set `limits.max_running` of the entry",
    "max_num_queued_reqs": "set `limits.max_queued` of the entry",
    "enable_lora": "set `adapters` or `adapter_folder` of the entry",
    "runner": "this service generates text",
    "convert": "this service generates text",
    "skip_tokenizer_init": "this service works with text",
    "logprobs_mode": "the API promises those of the model, before temperature and filters",
    "disable_log_stats": "timings of answers are made from them",
}

#: What differs from vLLM's own defaults where a configuration says nothing: calls bring priorities; a service has no
#: progress bar.
DEFAULTS: Mapping[str, Any] = {
    "scheduling_policy": "priority",
    "use_tqdm_on_load": False,
}

#: Sizes whose product is the number of GPUs of one replica.
PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "prefill_context_parallel_size")


class ServingArguments(BaseModel):
    """What vLLM knows as arguments of its server, or guesses nothing of."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: How tool calls are written: a name of vLLM's. Unset: guessed from the chat template; `none`: tools are refused.
    tool_parser: str | None = None
    #: How reasoning is marked: a name of vLLM's. Unset: guessed from the chat template; `none`: part of the content.
    reasoning_parser: str | None = None
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None
    #: Whether the template takes a message's content as text or as OpenAI's parts.
    chat_template_content_format: Literal["auto", "string", "openai"] = "auto"


def serving_arguments(config: EngineConfig) -> ServingArguments:
    """Returns what is the server's, of a configuration that was found right."""
    return ServingArguments(
        **{name: value for name, value in config.engine_args.items() if name in ServingArguments.model_fields}
    )


def engine_arguments(config: EngineConfig) -> dict[str, Any]:
    """Returns what is the engine's, of a configuration that was found right, defaults of ours included."""
    said = {name: value for name, value in config.engine_args.items() if name not in ServingArguments.model_fields}
    kinds = _kinds()
    wanted = {**DEFAULTS, **said, **parallel_sizes(config)}
    return {name: _adapter(kinds[name]).validate_python(value) for name, value in wanted.items()}


def parallel_sizes(config: EngineConfig) -> dict[str, int]:
    """Returns the sizes that `engine_args` say; unsaid, the tensor parallel size is what makes use of all GPUs."""
    said = {name: config.engine_args[name] for name in PARALLEL if name in config.engine_args}
    if "tensor_parallel_size" not in said and config.gpus:
        said["tensor_parallel_size"] = max(1, config.gpus // _product(said))
    return said


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports vLLM: many seconds."""
    problems = [
        *check_model(config.model, ["config.json", "params.json"]),
        *check_adapters(config),
        *_check_names_and_values(config.engine_args),
    ]
    return problems or [*_check_parsers(config), *_check_devices(config)]


def _check_names_and_values(engine_args: Mapping[str, Any]) -> Sequence[Problem]:
    kinds = _kinds()
    known = {*kinds, *ServingArguments.model_fields} - ELSEWHERE.keys()
    problems = []
    for name, value in engine_args.items():
        if name in ELSEWHERE:
            fault = f"not taken here: {ELSEWHERE[name]}"
        elif name not in known:
            meant = get_close_matches(name, known, 1)
            fault = "vLLM has no such argument" + (f"; did you mean {meant[0]}?" if meant else "")
        elif name not in ServingArguments.model_fields:
            fault = _fault(kinds[name], value)
        else:
            fault = _fault(ServingArguments.model_fields[name].annotation, value)
        if fault:
            problems.append(Problem(f"engine_args.{name}", fault))
    return problems


def _kinds() -> Mapping[str, Any]:
    """Returns the type of each argument of vLLM's engine; `Any` where its name cannot be looked up."""
    from vllm.engine import arg_utils

    def kind(written: Any) -> Any:
        try:
            return eval(written, vars(arg_utils)) if isinstance(written, str) else written  # noqa: S307 (vLLM's own source)
        except NameError:
            return Any

    return {field.name: kind(field.type) for field in dataclasses.fields(arg_utils.AsyncEngineArgs)}


def _fault(kind: Any, value: Any) -> str:
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        return "; ".join(dict.fromkeys(fault["msg"] for fault in error.errors()))
    return ""


def _adapter(kind: Any) -> TypeAdapter[Any]:
    has_config = dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, BaseModel))
    return TypeAdapter(kind, config=None if has_config else ConfigDict(arbitrary_types_allowed=True))


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    serving = serving_arguments(config)
    problems = []
    for key, name, allowed in (
        ("tool_parser", serving.tool_parser, ToolParserManager.list_registered()),
        ("reasoning_parser", serving.reasoning_parser, ReasoningParserManager.list_registered()),
    ):
        if name not in (None, "none", *allowed):
            message = f"vLLM has no {name!r}; allowed: none, {', '.join(sorted(allowed))}"
            problems.append(Problem(f"engine_args.{key}", message))
    if serving.chat_template and not Path(serving.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {serving.chat_template}"))
    return problems


def _check_devices(config: EngineConfig) -> Sequence[Problem]:
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        if config.gpus:
            return [Problem("gpus", "this vLLM is built for the CPU: gpt-server engines install vllm --device cuda")]
        return []
    if not config.gpus:
        return [Problem("gpus", "this vLLM is built for GPUs: set it to 1 or more")]
    sizes = parallel_sizes(config)
    if (wanted := _product(sizes)) != config.gpus:
        said = " × ".join(f"{name} {size}" for name, size in sizes.items())
        return [Problem("gpus", f"is {config.gpus}, but {said} makes {wanted}")]
    return []


def _product(sizes: Mapping[str, int]) -> int:
    product = 1
    for size in sizes.values():
        product *= size
    return product
