"""`engine_args` of the sentence_transformers engine: names, values, defaults. Imports neither torch nor the library."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.common.source import check_model
from gpt_server.services.embed.engine import Activation, EngineConfig, Problem


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: What the model is for. `auto`: what its files say.
    task: Literal["auto", "embedding", "rerank", "classification"] = "auto"
    #: What runs the transformer: torch, or onnxruntime with `onnx_file` of the model's folder.
    backend: Literal["torch", "onnx"] = "torch"
    #: Exported transformer, relative to the model's folder.
    onnx_file: str = "onnx/model.onnx"
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
    #: The most tokens of an input. Unset: the model's own.
    max_context_tokens: int | None = Field(None, ge=1)
    #: Tokens of inputs that share a forward pass.
    max_batch_tokens: int = Field(8192, ge=1)
    #: Inputs that share a forward pass.
    max_batch_inputs: int = Field(64, ge=1)
    #: Prompts by name, in place of the model's own.
    prompts: dict[str, str] | None = None
    #: The prompt that is used when none is asked for. Unset: the model's own; empty: none.
    default_prompt_name: str | None = None
    #: Shorter lengths of vectors that the model was trained for, in place of what it says.
    matryoshka_dimensions: list[int] | None = None
    #: What makes scores lie between 0 and 1. Unset: what the model says.
    activation: Activation | None = None
    #: Chat template, instead of the model's own: a file; for rerankers made of causal models.
    chat_template: str | None = None


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `EmbedEngine.check`."""
    problems = [*check_model(config.model, ("config.json", "modules.json"))]
    if importlib.util.find_spec("sentence_transformers") is None:
        message = (
            "sentence_transformers is not installed here; install it: gpt-server engines install sentence_transformers"
        )
        problems.append(Problem("engine", message))
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the sentence_transformers engine"))
    try:
        arguments = Arguments.model_validate(dict(config.engine_args))
    except ValidationError as error:
        return problems + [_problem(fault["loc"], fault["msg"], fault["type"]) for fault in error.errors()]
    if config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    if arguments.chat_template and not Path(arguments.chat_template).is_file():
        problems.append(Problem("engine_args.chat_template", f"no such file: {arguments.chat_template}"))
    if arguments.backend == "onnx" and not (Path(config.model) / arguments.onnx_file).is_file():
        problems.append(Problem("engine_args.onnx_file", f"no such file in the model's folder: {arguments.onnx_file}"))
    return problems


def _problem(path: Sequence[str | int], message: str, kind: str) -> Problem:
    if kind == "extra_forbidden":
        message = f"unknown; allowed are {', '.join(sorted(Arguments.model_fields))}"
    return Problem(".".join(["engine_args", *map(str, path)]), message)
