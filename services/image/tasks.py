"""Requests -> tasks: what is left open is filled in, and pictures are decoded and brought to their size."""

import secrets
from dataclasses import replace

from gpt_server.services.common.errors import InvalidMedia
from gpt_server.services.image import checks, pictures
from gpt_server.services.image.engine import EditRequest, GenerateRequest, ModelDetails, Options, Picture, Task

SEEDS = 2**63
RANDOM_SEEDS = 2**32
"""Seeds that are drawn here are short enough for JSON's numbers and for people."""


def generate_task(request: GenerateRequest, details: ModelDetails, adapter: str | None) -> Task:
    """Returns the task of a request that `checks` let pass."""
    options = request.options
    return _task(
        request.prompt,
        options,
        options.width_px or details.default_width_px,
        options.height_px or details.default_height_px,
        adapter,
    )


def edit_task(request: EditRequest, details: ModelDetails, adapter: str | None) -> Task:
    """Returns the task of a request that `checks` let pass. Slow for large pictures: belongs in a thread.

    Raises:
        InvalidMedia: a picture cannot be decoded, or the mask has another size than the first picture.
        InvalidField: a picture is of a size that the model does not make, and no other is asked for.
    """
    limit = details.max_input_pixels
    images = [
        pictures.opaque(pictures.read(image.content, f"images[{i}]", limit)) for i, image in enumerate(request.images)
    ]
    options = request.options
    width, height = options.width_px, options.height_px
    if width is None or height is None:
        width, height = _size_of(images[0], details)
        checks.check_size(width, height, details)
    kind = checks.edit_kind(request, details)
    task = _task(request.prompt, options, width, height, adapter)
    mask = None
    if request.mask is not None:
        mask = _mask(request.mask.content, images[0], limit).resize((width, height))
    if kind != "instruction":
        images = [image.resize((width, height)) if image.size != (width, height) else image for image in images]
    return replace(task, images=tuple(images), mask=mask, strength=request.strength, edit_kind=kind)


def _task(prompt: str, options: Options, width_px: int, height_px: int, adapter: str | None) -> Task:
    first = options.seed if options.seed is not None else secrets.randbelow(RANDOM_SEEDS)
    return Task(
        prompt=prompt,
        seeds=[(first + i) % SEEDS for i in range(options.n or 1)],
        width_px=width_px,
        height_px=height_px,
        negative_prompt=options.negative_prompt,
        num_inference_steps=options.num_inference_steps,
        guidance_scale=options.guidance_scale,
        true_cfg_scale=options.true_cfg_scale,
        previews=options.preview_images or 0,
        priority=options.priority or 0,
        adapter=adapter,
    )


def _size_of(picture: Picture, details: ModelDetails) -> tuple[int, int]:
    """Returns the picture's size, scaled down to what the model makes, in its multiples."""
    scale = min(1.0, (details.max_pixels / (picture.width * picture.height)) ** 0.5)
    multiple = details.size_multiple_px
    width, height = (max(multiple, int(side * scale) // multiple * multiple) for side in picture.size)
    return width, height


def _mask(content: bytes, image: Picture, limit: int) -> Picture:
    mask = pictures.mask_of(pictures.read(content, "mask", limit))
    if mask.size != image.size:
        raise InvalidMedia("mask", f"has {mask.width} × {mask.height} pixels, the image {image.width} × {image.height}")
    return mask
