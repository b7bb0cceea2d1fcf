"""`engine_args` of the vllm_omni engine: names, values, defaults. Does not import the library."""

import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpt_server.services.audio.engine import EngineConfig, Problem
from gpt_server.services.common.own_arguments import read_arguments
from gpt_server.services.common.source import check_model

OURS = {"host", "port", "omni", "served_model_name", "api_key", "model", "ssl_keyfile", "ssl_certfile", "uds"}
"""Options of the server that this engine sets."""
QWEN3_LANGUAGES = {
    "zh": "Chinese",
    "en": "English",
    "ja": "Japanese",
    "ko": "Korean",
    "de": "German",
    "fr": "French",
    "ru": "Russian",
    "pt": "Portuguese",
    "es": "Spanish",
    "it": "Italian",
}


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Options of `vllm serve --omni` by their names, with underscores.
    serve: dict[str, Any] = Field(default_factory=dict)
    #: What the model speaks with. The server does not say it before it speaks; a wrong rate is an error then.
    sample_rate_hz: int = Field(24_000, ge=8000, le=192_000)
    #: Languages: ISO 639-1 -> how the model calls it. Unset: those of Qwen3-TTS.
    languages: dict[str, str] = Field(default_factory=lambda: dict(QWEN3_LANGUAGES))
    #: Whether the model speaks in the voice of a recording.
    clones: bool = False
    #: Whether the model heeds instructions.
    takes_instructions: bool = True
    #: Whether the model changes the speed itself. If not, the service changes it afterwards.
    takes_speed: bool = False
    #: Kind of a Qwen3-TTS, sent with every request. Unset: the server finds it out.
    task_type: Literal["CustomVoice", "VoiceDesign", "Base"] | None = None
    #: Further parameters of the model, sent with every request.
    extra_params: dict[str, Any] | None = None
    #: How long loading may take, in seconds.
    load_timeout_s: float = Field(1800.0, gt=0)


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `AudioEngine.check`."""
    arguments, problems = read_arguments(Arguments, config)
    problems = [*check_model(config.model, ["config.json", "model_index.json"]), *problems]
    if importlib.util.find_spec("vllm_omni") is None:
        message = "vllm_omni is not installed here; install it: gpt-server engines install vllm_omni"
        problems.append(Problem("engine", message))
    if config.adapters:
        problems.append(Problem("adapters", "adapters are not supported by the vllm_omni engine"))
    if config.gpus == 0:
        problems.append(Problem("gpus", "must be 1 or more; vLLM-Omni does not run on a CPU"))
    for name in sorted(OURS & set(arguments.serve if arguments else ())):
        problems.append(Problem(f"engine_args.serve.{name}", "is set by the engine"))
    return problems


def options(serve: dict[str, Any]) -> list[str]:
    """Returns options as a command line has them: true alone, false with `--no-`, others with their value."""
    found: list[str] = []
    for name, value in serve.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{option}" if value else f"--no-{option}")
        else:
            found += [f"--{option}", str(value)]
    return found
