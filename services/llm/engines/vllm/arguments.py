"""`engine_args` of the vllm engine: vLLM's own engine arguments under its names, and a few of its server's."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gpt_server.services.common import vllm
from gpt_server.services.common.arguments import LibraryArguments, argument_types
from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.serving import ServingArguments
from gpt_server.services.llm.source import check_adapters

#: Arguments of vLLM that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    **vllm.ELSEWHERE,
    "max_num_seqs": "set `limits.max_running` of the entry",
    "enable_lora": "set `adapters` or `adapter_folder` of the entry",
    "runner": "this service generates text",
    "convert": "this service generates text",
    "skip_tokenizer_init": "this service works with text",
    "logprobs_mode": "the API promises those of the model, before temperature and filters",
    "disable_log_stats": "timings of answers are made from them",
}


class VLLMServingArguments(ServingArguments):
    """What vLLM knows as arguments of its server, or guesses nothing of."""

    #: Whether the template takes a message's content as text or as OpenAI's parts.
    chat_template_content_format: Literal["auto", "string", "openai"] = "auto"


def serving_arguments(config: EngineConfig) -> VLLMServingArguments:
    """Returns what is the server's, of a configuration that was found right."""
    serving: VLLMServingArguments = _arguments().of_engine(config.engine_args)
    return serving


def engine_arguments(config: EngineConfig) -> dict[str, Any]:
    """Returns what is the engine's, of a configuration that was found right, defaults of ours included."""
    return vllm.vllm_arguments(_arguments(), config)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`. Imports vLLM: many seconds."""
    problems = [
        *check_model(config.model, ["config.json", "params.json"]),
        *check_adapters(config),
        *_arguments().check(config.engine_args),
    ]
    return problems or [*_check_parsers(config), *vllm.check_devices(config, _is_for_cpu())]


def _arguments() -> LibraryArguments:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return LibraryArguments("vLLM", argument_types(AsyncEngineArgs), VLLMServingArguments, ELSEWHERE)


def _is_for_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _check_parsers(config: EngineConfig) -> Sequence[Problem]:
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    known = (ToolParserManager.list_registered(), ReasoningParserManager.list_registered())
    return serving_arguments(config).check("vLLM", *known)
