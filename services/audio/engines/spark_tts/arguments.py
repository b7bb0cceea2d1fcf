"""`engine_args` of the spark_tts engine: names, values, defaults. Imports neither torch nor the libraries."""

import importlib.util
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gpt_server.services.audio.engine import EngineConfig, Problem
from gpt_server.services.common.own_arguments import read_arguments
from gpt_server.services.common.source import check_model

PARTS = (["BiCodec/model.safetensors"], ["wav2vec2-large-xlsr-53/config.json"], ["LLM/tokenizer_config.json"])


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Of the language model's weights. `auto`: as stored, but float32 on a CPU.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: A torch device. `auto`: CUDA if the replica has GPUs, else the CPU.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    #: `host:port` of an LLM service of ours that runs the language half. Unset: it runs in this process.
    llm_address: str | None = None
    #: Under which name that service serves it.
    llm_model: str = "spark-tts"
    #: File with the certificates that vouch for that service. Unset: the connection is not encrypted.
    llm_ca_file: str | None = None
    #: How tokens are drawn.
    temperature: float = Field(0.8, ge=0)
    top_k: int = Field(50, ge=1)
    top_p: float = Field(0.95, gt=0, le=1)
    #: Tokens of sound, 50 a second, that a character of the text may take: what ends a model that does not.
    tokens_per_character: int = Field(20, ge=1)
    #: The first sound that is sent, in seconds; each later one is twice as long, up to 8.
    chunk_s: float = Field(1.0, ge=0.3, le=8)
    #: Whether `speed` chooses one of the model's own five levels. If not, the service changes the speed afterwards.
    takes_speed: bool = False


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `AudioEngine.check`."""
    arguments, problems = read_arguments(Arguments, config)
    problems = [*check_model(config.model, *PARTS, from_hub=False), *problems]
    if importlib.util.find_spec("flashtts") is None:
        message = (
            "flashtts, which has the codec, is not installed here; install it: gpt-server engines install spark_tts"
        )
        problems.append(Problem("engine", message))
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the spark_tts engine"))
    if arguments is not None and config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    return problems
