"""`engine_args` of the vllm engine: vLLM's own engine arguments under its names, and a few of ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gpt_server.services.common import vllm
from gpt_server.services.common.arguments import LibraryArguments, argument_types
from gpt_server.services.common.source import check_model
from gpt_server.services.embed.engine import Activation, EngineConfig, Problem

#: Arguments of vLLM that this configuration has a key for, or that a service decides.
ELSEWHERE: Mapping[str, str] = {
    **vllm.ELSEWHERE,
    "enable_lora": "adapters of vectors are not supported",
    "runner": "this service computes vectors, scores and labels",
    "skip_tokenizer_init": "this service works with text",
}


class OwnArguments(BaseModel):
    """What vLLM's engine has no argument for; under the names of the sentence_transformers engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: What the model is for. `auto`: what its files say; `rerank` with a model of vectors compares by cosine.
    task: Literal["auto", "embedding", "rerank", "classification"] = "auto"
    #: Prompts by name, in place of the model's own.
    prompts: dict[str, str] | None = None
    #: The prompt that is used when none is asked for. Unset: the model's own; empty: none.
    default_prompt_name: str | None = None
    #: Shorter lengths of vectors that the model was trained for, in place of what it says.
    matryoshka_dimensions: list[int] | None = None
    #: What makes scores lie between 0 and 1. Unset: what the model says.
    activation: Activation | None = None
    #: File with a chat template for pairs, whose roles are `query` and `document`; for rerankers made of causal models.
    chat_template: str | None = None


def own_arguments(config: EngineConfig) -> OwnArguments:
    """Returns what is ours, of a configuration that was found right."""
    own: OwnArguments = _arguments().of_engine(config.engine_args)
    return own


def engine_arguments(config: EngineConfig) -> dict[str, Any]:
    """Returns what is vLLM's, of a configuration that was found right; float32 on a CPU, where nothing is said."""
    defaults = {"runner": "pooling", **({"dtype": "float32"} if _is_for_cpu() else {})}
    return vllm.vllm_arguments(_arguments(), config, defaults)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `EmbedEngine.check`. Imports vLLM: many seconds."""
    problems = [*check_model(config.model, ["config.json"]), *_arguments().check(config.engine_args)]
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the vllm engine of this service"))
    if problems:
        return problems
    template = own_arguments(config).chat_template
    if template and not Path(template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {template}"))
    return [*problems, *vllm.check_devices(config, _is_for_cpu())]


def _arguments() -> LibraryArguments:
    from vllm.engine.arg_utils import AsyncEngineArgs

    return LibraryArguments("vLLM", argument_types(AsyncEngineArgs), OwnArguments, ELSEWHERE)


def _is_for_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())
