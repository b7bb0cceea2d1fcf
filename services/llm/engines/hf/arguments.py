"""`engine_args` of the hf engine: their names, values and defaults. Imports neither torch nor transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.common.source import check_model
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.source import check_adapters


class HFArguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Of the weights. `auto`: as stored, but float32 on a CPU.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: A torch device. `auto`: CUDA if the replica has GPUs, else the CPU.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$")
    #: Name of an attention of transformers. Unset: its choice.
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3"] | None = None
    #: Whether code that comes with the model may run.
    trust_remote_code: bool = False
    #: Branch, tag or commit of a hub model.
    revision: str | None = None
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None
    #: Window for prompt and output in tokens. Unset: the model's own.
    max_context_tokens: int | None = Field(None, ge=1)
    #: Prompt tokens computed between two decode steps.
    prefill_chunk_tokens: int = Field(512, ge=1)
    #: Pictures in a prompt at most, for models that see.
    max_images: int = Field(16, ge=1)
    #: How tool calls are written. Unset: guessed from the chat template; `none`: tools are refused.
    tool_parser: Literal["hermes", "llama3_json", "none"] | None = None
    #: How reasoning is marked. Unset: guessed from the chat template; `none`: it is part of the content.
    reasoning_parser: Literal["qwen3", "deepseek_r1", "none"] | None = None


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `LLMEngine.check`."""
    problems = [
        *check_model(config.model, ["config.json"], ["tokenizer_config.json"]),
        *check_adapters(config),
    ]
    try:
        arguments = HFArguments.model_validate(dict(config.engine_args))
    except ValidationError as error:
        return problems + [_problem(fault["loc"], fault["msg"], fault["type"]) for fault in error.errors()]
    if arguments.chat_template and not Path(arguments.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {arguments.chat_template}"))
    if config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    return problems


def _problem(path: Sequence[str | int], message: str, kind: str) -> Problem:
    if kind == "extra_forbidden":
        message = f"unknown; allowed are {', '.join(sorted(HFArguments.model_fields))}"
    return Problem(".".join(["engine_args", *map(str, path)]), message)
