"""Tasks become calls of pipelines: all that needs the library while requests run. `engine` imports it on its start."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image as Pillow

from gpt_server.services.image.engine import EngineConfig, Made, ModelDetails, Picture, Progress, Task
from gpt_server.services.image.engines.diffusers.model import load, parameters_of
from gpt_server.services.image.engines.diffusers.previews import decode, foreseen, preview_steps

Tell = Callable[[Progress | Made], None]

GUIDANCE_FOR_NEGATIVE = 4.0
"""`true_cfg_scale` of a negative prompt without one, where the pipeline's own default would ignore it."""


class _Stopped(Exception):
    """Nobody waits for the images any more."""


class Passes:
    """A loaded model at work. `run` belongs to one thread."""

    def __init__(self, config: EngineConfig) -> None:
        self._model = load(config)
        self._adapters = bool(config.adapters)
        self.details: ModelDetails = self._model.details

    def prompt_tokens(self, prompt: str) -> int:
        """Returns how many tokens the prompt is to the model's tokeniser; 0 if it has none."""
        pipeline = next(iter(self._model.pipelines.values()))
        tokenizer = getattr(pipeline, "tokenizer_2", None) or getattr(pipeline, "tokenizer", None)
        return len(tokenizer(prompt, verbose=False)["input_ids"]) if tokenizer is not None and prompt else 0

    def grid_places(self, task: Task) -> int:
        """Returns the places of the latent grid of all images."""
        multiple = self.details.size_multiple_px
        return (task.width_px // multiple) * (task.height_px // multiple) * len(task.seeds)

    def run(self, task: Task, images: Sequence[int], tell: Tell, stop: threading.Event) -> None:
        """Makes some of a task's images together; fewer at a time where they do not fit into memory.

        Args:
            task: what is wanted.
            images: their places in `task.seeds`.
            tell: is told of each step, preview and image.
            stop: once set, the pass ends after the step that is being computed.
        """
        try:
            self._run(task, images, tell, stop)
        except _Stopped:
            pass
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            torch.cuda.empty_cache()
            for half in (images[: len(images) // 2], images[len(images) // 2 :]):
                self.run(task, half, tell, stop)

    @torch.inference_mode()
    def _run(self, task: Task, images: Sequence[int], tell: Tell, stop: threading.Event) -> None:
        if stop.is_set():
            return
        pipeline = self._model.pipelines[task.edit_kind]
        self._choose_adapter(pipeline, task.adapter)
        watch = _Watch(task, images, tell, stop)
        try:
            found = pipeline(**self._arguments(pipeline, task, images), **watch.arguments(pipeline)).images
        finally:
            pipeline.maybe_free_model_hooks()
        for image, picture in zip(images, found, strict=True):
            tell(Made(image, _masked(task, picture)))

    def _choose_adapter(self, pipeline: Any, adapter: str | None) -> None:
        if not self._adapters:
            return
        if adapter is None:
            pipeline.disable_lora()
        else:
            pipeline.enable_lora()
            pipeline.set_adapters(adapter)

    def _arguments(self, pipeline: Any, task: Task, images: Sequence[int]) -> dict[str, Any]:
        known = parameters_of(pipeline)
        generators = [torch.Generator().manual_seed(task.seeds[image]) for image in images]
        wanted: dict[str, Any] = {
            **self._model.arguments.defaults,
            "prompt": task.prompt,
            "negative_prompt": task.negative_prompt or None,
            "width": task.width_px,
            "height": task.height_px,
            "max_area": task.width_px * task.height_px,
            "_auto_resize": False,
            "num_inference_steps": task.num_inference_steps,
            "guidance_scale": task.guidance_scale,
            "true_cfg_scale": self._true_cfg_scale(known, task),
            "num_images_per_prompt": len(images),
            "generator": generators if len(generators) > 1 else generators[0],
            "mask_image": task.mask,
            "strength": task.strength,
        }
        if task.images:
            wanted["image"] = list(task.images) if len(task.images) > 1 else task.images[0]
        unset = {name for name, value in wanted.items() if value is None}
        own = {name: self._model.arguments.defaults[name] for name in unset & self._model.arguments.defaults.keys()}
        return {name: value for name, value in (wanted | own).items() if value is not None and name in known}

    def _true_cfg_scale(self, known: Any, task: Task) -> float | None:
        if task.true_cfg_scale is not None or not task.negative_prompt or "true_cfg_scale" not in known:
            return task.true_cfg_scale
        own = self._model.arguments.defaults.get("true_cfg_scale", known["true_cfg_scale"].default)
        return float(own) if own and own > 1 else GUIDANCE_FOR_NEGATIVE


def _masked(task: Task, picture: Picture) -> Picture:
    """Puts the image back outside the mask: an autoencoder brings nothing back exactly."""
    return picture if task.mask is None else Pillow.composite(picture, task.images[0], task.mask)


class _Watch:
    """Looks on after each step: tells of it, shows previews, stops."""

    def __init__(self, task: Task, images: Sequence[int], tell: Tell, stop: threading.Event) -> None:
        self._task, self._images = task, images
        self._tell, self._stop = tell, stop
        self._before: torch.Tensor | None = None

    def arguments(self, pipeline: Any) -> dict[str, Any]:
        """Returns what the pipeline is called with to be watched."""
        if "callback_on_step_end" not in parameters_of(pipeline):
            return {}
        return {"callback_on_step_end": self._step, "callback_on_step_end_tensor_inputs": ["latents"]}

    def _step(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if self._stop.is_set():
            raise _Stopped
        steps = int(pipeline.num_timesteps)
        self._tell(Progress(step + 1, steps))
        latents = tensors["latents"]
        shown = preview_steps(steps, self._task.previews)
        if step + 1 in shown:
            heading = foreseen(pipeline.scheduler, self._before, latents)
            pictures = decode(pipeline, heading, self._task.width_px, self._task.height_px)
            for image, picture in zip(self._images, pictures, strict=True):
                self._tell(Made(image, _masked(self._task, picture), preview=shown.index(step + 1)))
        self._before = latents
        return tensors
