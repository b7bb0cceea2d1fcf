"""Loading: a folder or hub id becomes pipelines that share weights, and what has to be known of them."""

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers
from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image

from gpt_server.services.image.engine import Capability, EditKind, EngineConfig, ModelDetails
from gpt_server.services.image.engines.diffusers.arguments import OURS, Arguments
from gpt_server.services.image.engines.diffusers.previews import can_preview

log = logging.getLogger(__name__)

MANY_IMAGES = 4
FALLBACK_SIDE_PX = 1024


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory. `pipelines`: by what they do, `None` being images from a text."""

    pipelines: Mapping[EditKind | None, Any]
    arguments: Arguments
    details: ModelDetails


def load(config: EngineConfig) -> LoadedModel:
    """Loads everything that `config` names. Takes seconds to minutes; raises what the library raises."""
    diffusers.utils.logging.disable_progress_bar()  # the log of a service is lines, perhaps of JSON
    diffusers.utils.logging.set_verbosity_error()  # its warnings repeat parts of prompts
    transformers.utils.logging.disable_progress_bar()
    arguments = Arguments.model_validate(dict(config.engine_args))
    loaded = _construct(config, arguments)
    for name, folder in config.adapters.items():
        loaded.load_lora_weights(folder, adapter_name=name)
    if config.adapters:
        loaded.disable_lora()
    pipelines = _pipelines(loaded)
    if not pipelines:
        raise RuntimeError(f"{config.model} holds a {type(loaded).__name__}, which neither makes nor edits images")
    for pipeline in pipelines.values():
        pipeline.set_progress_bar_config(disable=True)
    main = next(iter(pipelines.values()))
    if unknown := arguments.defaults.keys() - (parameters_of(main).keys() - OURS):
        raise RuntimeError(f"engine_args.defaults: unknown to {type(main).__name__}: {', '.join(sorted(unknown))}")
    return LoadedModel(pipelines, arguments, _details(pipelines, main, arguments))


def parameters_of(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a pipeline's call."""
    return inspect.signature(type(pipeline).__call__).parameters


def _construct(config: EngineConfig, arguments: Arguments) -> Any:
    device = arguments.device
    if device == "auto":
        device = "cuda" if config.gpus else "cpu"
    wanted: dict[str, Any] = {"revision": arguments.revision, "variant": arguments.variant}
    if arguments.dtype != "auto" or device == "cpu":
        wanted["dtype"] = torch.float32 if arguments.dtype == "auto" else getattr(torch, arguments.dtype)
    if (quantization := arguments.quantization) is not None:
        wanted["quantization_config"] = diffusers.PipelineQuantizationConfig(
            quant_backend=quantization.quant_backend,
            quant_kwargs=dict(quantization.quant_kwargs),
            components_to_quantize=list(quantization.components_to_quantize) or None,
        )
    given = {name: value for name, value in wanted.items() if value is not None}
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(config.model, **given)
    if arguments.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif arguments.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    if arguments.vae_tiling:
        pipeline.vae.enable_tiling()
    if arguments.vae_slicing:
        pipeline.vae.enable_slicing()
    return pipeline


def _pipelines(loaded: Any) -> dict[EditKind | None, Any]:
    """Returns all that the weights can do: what the library's tables of pipelines know of the one that was loaded."""
    found: dict[EditKind | None, Any] = {}
    for auto in (AutoPipelineForText2Image, AutoPipelineForImage2Image, AutoPipelineForInpainting):
        try:
            pipeline = auto.from_pipe(loaded)
        except (ValueError, TypeError) as error:  # no pipeline for the task, or one that needs other parts
            log.debug("%s: %s", auto.__name__, error)
            continue
        known = parameters_of(pipeline)
        kind: EditKind | None = None
        if auto is AutoPipelineForInpainting:
            kind = "inpaint"
        elif auto is AutoPipelineForImage2Image:
            kind = "image_to_image" if "strength" in known else "instruction"
        found[kind] = pipeline
    return found


def _details(pipelines: Mapping[EditKind | None, Any], main: Any, arguments: Arguments) -> ModelDetails:
    kinds = frozenset(kind for kind in pipelines if kind is not None)
    capabilities: set[Capability] = set()
    if None in pipelines:
        capabilities.add("image_generation")
    if kinds:
        capabilities.add("image_edit")
    if "inpaint" in kinds:
        capabilities.add("image_inpaint")
    if "image_to_image" in kinds:
        capabilities.add("image_variation")
    known, multiple = parameters_of(main), size_multiple(main)
    width, height = (_default_side(main, name, arguments, multiple) for name in ("width", "height"))
    return ModelDetails(
        capabilities=frozenset(capabilities),
        default_width_px=width,
        default_height_px=height,
        size_multiple_px=multiple,
        default_num_inference_steps=int(_default(known, "num_inference_steps", arguments) or 50),
        default_guidance_scale=_default(known, "guidance_scale", arguments),
        max_pixels=arguments.max_pixels,
        edit_kinds=kinds,
        max_input_images=arguments.max_input_images or _input_images(pipelines),
        max_input_pixels=arguments.max_input_pixels,
        negative_prompt="negative_prompt" in known,
        true_cfg_scale="true_cfg_scale" in known,
        previews=all(can_preview(pipeline) for pipeline in pipelines.values()),
    )


def _default(known: Mapping[str, inspect.Parameter], name: str, arguments: Arguments) -> Any:
    if name in arguments.defaults:
        return arguments.defaults[name]
    return known[name].default if name in known else None


def _default_side(pipeline: Any, name: str, arguments: Arguments, multiple: int) -> int:
    if said := _default(parameters_of(pipeline), name, arguments):
        return int(said)
    size = getattr(pipeline, "default_sample_size", None)
    if size is None and (unet := getattr(pipeline, "unet", None)) is not None:
        size = unet.config.sample_size
    if isinstance(size, int):
        return size * int(pipeline.vae_scale_factor) // multiple * multiple or multiple
    return FALLBACK_SIDE_PX


def size_multiple(pipeline: Any) -> int:
    """Returns what width and height must be multiples of: a patch of the latent grid."""
    latent = int(getattr(pipeline, "vae_scale_factor", 8))
    processor = getattr(pipeline, "image_processor", None)
    scale = int(processor.config.vae_scale_factor) if processor is not None else latent
    patch = getattr(pipeline, "patch_size", None)
    return max(scale, latent * (patch if isinstance(patch, int) else 1))


def _input_images(pipelines: Mapping[EditKind | None, Any]) -> int:
    """Returns how many images an edit may look at. Some pipelines take a list for many, others for a batch."""
    if pipelines.keys() <= {None}:
        return 0
    if (pipeline := pipelines.get("instruction")) is None:
        return 1
    # Nothing but its code says which of the two a list is to a pipeline.
    walks = "for img in image:" in inspect.getsource(type(pipeline).__call__)
    return MANY_IMAGES if walks else 1
