"""`engine_args` of the diffusers engine: names, values, defaults. Imports neither torch nor the library."""

import ast
import importlib.util
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.image.engine import EngineConfig, Problem

OURS = frozenset(
    {"self", "prompt", "image", "mask_image", "generator", "latents", "output_type", "return_dict", "strength"}
    | {"num_images_per_prompt", "negative_prompt", "callback_on_step_end", "callback_on_step_end_tensor_inputs"}
)
"""Parameters of a pipeline's call that belong to requests, or to us."""


class Quantization(BaseModel):
    """How weights are quantised while they are loaded: what the library's `PipelineQuantizationConfig` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    quant_backend: str
    quant_kwargs: dict[str, Any] = Field(default_factory=dict)
    components_to_quantize: list[str] = Field(default_factory=list)


class Arguments(BaseModel):
    """What `engine_args` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: Of the weights. `auto`: as stored, but float32 on a CPU.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: A torch device. `auto`: CUDA if the replica has GPUs, else the CPU.
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps|xpu(:\d+)?)$")
    #: Branch, tag or commit of a hub model.
    revision: str | None = None
    #: Variant of the weights' files, for example `fp16`.
    variant: str | None = None
    #: Arguments of the pipeline's call, for requests that do not set them: width, height, num_inference_steps, ….
    defaults: dict[str, Any] = Field(default_factory=dict)
    #: Images of one request that are computed together. Above 1 an image may differ in its last bits with `n`.
    max_batch_images: int = Field(1, ge=1, le=10)
    #: The most pixels of an image.
    max_pixels: int = Field(4 * 1024 * 1024, ge=256)
    #: The most pixels of an input image, by what its file's head says.
    max_input_pixels: int = Field(64 * 1024 * 1024, ge=256)
    #: Input images that an edit may look at. Unset: what the pipeline takes.
    max_input_images: int | None = Field(None, ge=1, le=16)
    #: What moves to the GPU when it is needed and waits in memory otherwise: whole models, or single layers.
    offload: Literal["none", "model", "sequential"] = "none"
    #: Whether the autoencoder works in tiles, which takes less memory for large images.
    vae_tiling: bool = False
    #: Whether the autoencoder works image by image.
    vae_slicing: bool = False
    #: How weights are quantised while they are loaded.
    quantization: Quantization | None = None


def check(config: EngineConfig) -> Sequence[Problem]:
    """Returns what is wrong with a configuration; see `ImageEngine.check`."""
    problems = [*_check_model(config)]
    if importlib.util.find_spec("diffusers") is None:
        message = "diffusers is not installed here; install it: gpt-server engines install diffusers"
        return [*problems, Problem("engine", message)]
    try:
        arguments = Arguments.model_validate(dict(config.engine_args))
    except ValidationError as error:
        return problems + [_problem(fault["loc"], fault["msg"], fault["type"]) for fault in error.errors()]
    if config.gpus == 0 and arguments.device.startswith("cuda"):
        problems.append(Problem("engine_args.device", f"{arguments.device} needs gpus: 1 or more"))
    if config.gpus == 0 and arguments.offload != "none":
        problems.append(Problem("engine_args.offload", "needs gpus: 1 or more: there is nothing to move weights from"))
    if arguments.quantization is not None:
        problems += _check_quantization(arguments.quantization)
    return problems + _check_defaults(config, arguments)


def _problem(path: Sequence[str | int], message: str, kind: str) -> Problem:
    if kind == "extra_forbidden" and len(path) == 1:
        message = f"unknown; allowed are {', '.join(sorted(Arguments.model_fields))}"
    return Problem(".".join(["engine_args", *map(str, path)]), message)


def _check_model(config: EngineConfig) -> Sequence[Problem]:
    folder = Path(config.model)
    problems = [
        Problem(f"adapters.{name}", f"no such folder: {path}")
        for name, path in config.adapters.items()
        if (Path(path).is_absolute() or path.startswith(".")) and not Path(path).exists()
    ]
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            problems.append(Problem("model", f"{config.model} has no model_index.json: not a folder of diffusers"))
    elif folder.is_absolute() or config.model.startswith(".") or config.model.count("/") > 1:
        problems.append(Problem("model", f"no such folder: {config.model}"))
    return problems


def _check_quantization(quantization: Quantization) -> Sequence[Problem]:
    known = _dict_keys("quantizers/auto.py", "AUTO_QUANTIZATION_CONFIG_MAPPING")
    if quantization.quant_backend in known:
        return []
    message = f"unknown to diffusers: {quantization.quant_backend}; allowed are {', '.join(sorted(known))}"
    return [Problem("engine_args.quantization.quant_backend", message)]


def _check_defaults(config: EngineConfig, arguments: Arguments) -> list[Problem]:
    """Holds the names against the call of the pipeline that the folder names; of a hub id that is done on loading."""
    index = Path(config.model) / "model_index.json"
    if not arguments.defaults or not index.is_file():
        return []
    name = json.loads(index.read_text(encoding="utf-8")).get("_class_name", "")
    known = call_parameters(name) - OURS
    return [
        Problem(f"engine_args.defaults.{key}", f"unknown to {name}; allowed are {', '.join(sorted(known))}")
        for key in arguments.defaults
        if key not in known
    ]


@cache
def call_parameters(class_name: str) -> frozenset[str]:
    """Returns the parameters of a pipeline's call, read from the library's source: importing it takes many seconds."""
    for path in sorted((_library() / "pipelines").rglob("pipeline_*.py")):
        source = path.read_text(encoding="utf-8")
        if f"class {class_name}(" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and node.name == class_name:
                calls = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__call__"]
                return frozenset(arg.arg for call in calls for arg in [*call.args.args, *call.args.kwonlyargs])
    return frozenset()


def _dict_keys(file: str, name: str) -> frozenset[str]:
    """Returns the keys of a dict that a module of the library defines."""
    for node in ast.walk(ast.parse((_library() / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets):
            keys = node.value.keys if isinstance(node.value, ast.Dict) else []
            return frozenset(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return frozenset()


def _library() -> Path:
    spec = importlib.util.find_spec("diffusers")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("diffusers")
    return Path(spec.origin).parent
