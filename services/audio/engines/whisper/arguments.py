"""`engine_args` of the whisper engine: names, values, defaults. Imports neither torch nor transformers."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gpt_server.services.audio.engine import EngineConfig, Problem
from gpt_server.services.common.own_arguments import read_arguments
from gpt_server.services.common.source import check_model


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Of the weights. `auto`: as stored, but float32 on a CPU.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: A torch device. `auto`: CUDA if the replica has GPUs, else the CPU.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$")
    #: Name of an attention of transformers. Unset: its choice; times of words need `eager`, which is then taken.
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3"] | None = None
    #: Branch, tag or commit of a hub model.
    revision: str | None = None
    #: Whether an utterance whose text looks wrong is tried again at higher temperatures, as Whisper's authors do.
    temperature_fallback: bool = True
    #: Beams of a search. 1: none.
    num_beams: int = Field(1, ge=1)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `AudioEngine.check`."""
    arguments, problems = read_arguments(Arguments, config)
    problems = [*check_model(config.model, ["config.json"], ["preprocessor_config.json"]), *problems]
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the whisper engine"))
    if arguments is not None and config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    return problems
