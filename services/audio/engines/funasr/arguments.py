"""`engine_args` of the funasr engine: names, values, defaults. Imports neither torch nor the library."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gpt_server.services.audio.engine import EngineConfig, Problem
from gpt_server.services.common.own_arguments import read_arguments
from gpt_server.services.common.source import check_model


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: A torch device. `auto`: CUDA if the replica has GPUs, else the CPU.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?|npu(:\d+)?)$")
    #: Threads of torch. Unset: as torch finds it, which listens to OMP_NUM_THREADS.
    ncpu: int | None = Field(None, ge=1)
    #: Where `model` and `punc_model` may be downloaded from if they are no folders: ModelScope or Hugging Face.
    hub: Literal["none", "ms", "hf"] = "none"
    #: Version of a hub model. Unset: the newest.
    revision: str | None = None
    #: A model that puts punctuation into what the other one has written: a folder, or an id on the hub.
    punc_model: str | None = None
    #: Whether numbers and punctuation are written as one writes them. For SenseVoice.
    use_itn: bool = True
    #: The longest stretch of sound that the model is given at once, in seconds.
    max_utterance_s: float = Field(30.0, ge=1, le=60)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `AudioEngine.check`."""
    arguments, problems = read_arguments(Arguments, config)
    from_hub = arguments is not None and arguments.hub != "none"
    problems = [*check_model(config.model, ["configuration.json", "config.yaml"], from_hub=from_hub), *problems]
    if importlib.util.find_spec("funasr") is None:
        message = "funasr is not installed here; install it: gpt-server engines install funasr"
        problems.append(Problem("engine", message))
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the funasr engine"))
    if arguments is None:
        return problems
    if arguments.punc_model and not from_hub and not Path(arguments.punc_model).is_dir():
        problems.append(Problem("engine_args.punc_model", f"no such folder: {arguments.punc_model}"))
    if config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    return problems
