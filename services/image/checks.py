"""Values that no engine accepts: what the comments of `gpt_server.image.v1` rule out, and what a model's details do.

Each check names the field by its path in the request and says what is allowed.
"""

import math

from gpt_server.services.common.errors import InvalidField, UnsupportedFeature, WrongModelKind
from gpt_server.services.image.engine import EditKind, EditRequest, GenerateRequest, ModelDetails, Options

MAX_IMAGES, MAX_STEPS, MAX_PREVIEWS, MAX_PROMPT_CHARACTERS = 10, 200, 3, 32_000
LEAST_SIDE_PX = 16


def check_generate(request: GenerateRequest, details: ModelDetails) -> None:
    """Raises `InvalidField`, `UnsupportedFeature` or `WrongModelKind` for the first value that is not allowed."""
    if "image_generation" not in details.capabilities:
        raise WrongModelKind(f"model {request.model!r} edits images; it makes none from a text alone")
    _check_prompt(request.prompt)
    _require(request.prompt, "prompt", "must not be empty")
    _check_options(request.options, details)


def check_edit(request: EditRequest, details: ModelDetails) -> None:
    """Raises as `check_generate`."""
    if "image_edit" not in details.capabilities:
        raise WrongModelKind(f"model {request.model!r} makes images from texts; it does not edit any")
    _check_prompt(request.prompt)
    most = details.max_input_images
    _require(1 <= len(request.images) <= most, "images", f"must have 1 to {most} images; got {len(request.images)}")
    for i, image in enumerate(request.images):
        _require(image.content, f"images[{i}].content", "must have at least one byte")
    if request.mask is not None:
        _require(request.mask.content, "mask.content", "must have at least one byte")
    if request.strength is not None:
        message = f"must be above 0 and at most 1; got {request.strength:g}"
        _require(0 < request.strength <= 1, "strength", message)
    edit_kind(request, details)
    _check_options(request.options, details)


def edit_kind(request: EditRequest, details: ModelDetails) -> EditKind:
    """Returns how an edit is made. Raises `UnsupportedFeature`: the model has no such way."""
    kinds = details.edit_kinds
    if request.mask is not None:
        if "inpaint" not in kinds:
            raise UnsupportedFeature("mask", "this model does not take a mask")
        return "inpaint"
    if not request.prompt and "image_variation" not in details.capabilities:
        raise UnsupportedFeature("prompt", "this model makes no variations: it needs a text")
    if request.strength is not None and "image_to_image" not in kinds:
        raise UnsupportedFeature("strength", "this model does not start from the image; it follows the text alone")
    if "instruction" in kinds and request.strength is None and request.prompt:
        return "instruction"
    if "image_to_image" not in kinds:
        raise UnsupportedFeature("mask", "is required: this model changes images inside a mask alone")
    if len(request.images) > 1:
        raise UnsupportedFeature("images", "only one image can be started from")
    return "image_to_image"


def check_size(width_px: int, height_px: int, details: ModelDetails) -> None:
    """Raises `InvalidField` for a size that the model does not make."""
    multiple = details.size_multiple_px
    for name, value in (("width_px", width_px), ("height_px", height_px)):
        message = f"must be a multiple of {multiple}, at least {LEAST_SIDE_PX}; got {value}"
        _require(value >= LEAST_SIDE_PX and value % multiple == 0, f"options.{name}", message)
    pixels = width_px * height_px
    message = f"{width_px} × {height_px} is more than the {details.max_pixels} pixels that are allowed"
    _require(pixels <= details.max_pixels, "options.width_px", message)


def _check_prompt(prompt: str) -> None:
    _require(len(prompt) <= MAX_PROMPT_CHARACTERS, "prompt", f"must have at most {MAX_PROMPT_CHARACTERS} characters")


def _check_options(options: Options, details: ModelDetails) -> None:
    _check_range(options.n, "n", 1, MAX_IMAGES)
    _check_range(options.num_inference_steps, "num_inference_steps", 1, MAX_STEPS)
    _check_range(options.seed, "seed", 0, 2**63 - 1)
    _check_range(options.preview_images, "preview_images", 0, MAX_PREVIEWS)
    _check_range(options.quality, "quality", 0, 100)
    for name in ("guidance_scale", "true_cfg_scale"):
        value = getattr(options, name)
        message = f"must be at least 0; got {value}"
        _require(value is None or (value >= 0 and math.isfinite(value)), f"options.{name}", message)
    if options.quality not in (None, 100) and options.format in (None, "png"):
        raise InvalidField("options.quality", "PNG is lossless: choose jpeg or webp, or leave quality unset")
    if (options.width_px is None) != (options.height_px is None):
        raise InvalidField("options.width_px", "width_px and height_px belong together: set both or neither")
    if options.width_px is not None and options.height_px is not None:
        check_size(options.width_px, options.height_px, details)
    _check_abilities(options, details)


def _check_abilities(options: Options, details: ModelDetails) -> None:
    cannot = {
        "negative_prompt": bool(options.negative_prompt) and not details.negative_prompt,
        "guidance_scale": options.guidance_scale is not None and details.default_guidance_scale is None,
        "true_cfg_scale": options.true_cfg_scale is not None and not details.true_cfg_scale,
        "preview_images": bool(options.preview_images) and not details.previews,
        "transparent_background": bool(options.transparent_background) and not details.transparent_background,
    }
    for name, refused in cannot.items():
        if refused:
            raise UnsupportedFeature(f"options.{name}", f"this model has no {name.replace('_', ' ')}")
    if options.transparent_background and options.format == "jpeg":
        raise InvalidField("options.format", "jpeg knows no transparency: choose png or webp")


def _check_range(value: int | None, name: str, least: int, most: int) -> None:
    _require(value is None or least <= value <= most, f"options.{name}", f"must be {least} to {most}; got {value}")


def _require(holds: object, path: str, message: str) -> None:
    if not holds:
        raise InvalidField(path, message)
