"""What becomes of every field of a request for images. Names are OpenAI's, and those that diffusers has."""

from gpt_server.edge.schemas.base import FieldTable, Harmless, Honoured, Refused, Treatment

_HINT = "A hint for billing or abuse detection at OpenAI; the answer does not depend on it."
_LAYERS = "Images are png, jpeg or webp."


def _option(name: str) -> Honoured:
    return Honoured((f"options.{name}",), copied=True)


_ALL: dict[str, Treatment] = {
    "model": Honoured(("model",)),
    "n": _option("n"),
    "size": Honoured(("options.width_px", "options.height_px")),
    "response_format": Honoured(),
    "output_format": Honoured(("options.format",)),
    "output_compression": _option("quality"),
    "background": Honoured(("options.transparent_background",)),
    "seed": _option("seed"),
    "num_inference_steps": _option("num_inference_steps"),
    "guidance_scale": _option("guidance_scale"),
    "true_cfg_scale": _option("true_cfg_scale"),
    "priority": _option("priority"),
    "user": Harmless(_HINT),
    "safety_identifier": Harmless(_HINT),
    "quality": Harmless("Open models have no levels of quality; 'num_inference_steps' is how much work goes in."),
    "steps": Refused("Use 'num_inference_steps'."),
    "cfg_scale": Refused("Use 'guidance_scale', or 'true_cfg_scale' for models that have both."),
}

_TEXT: dict[str, Treatment] = {
    "prompt": Honoured(("prompt",), copied=True),
    "negative_prompt": _option("negative_prompt"),
    "stream": Honoured(),
    "partial_images": Honoured(("options.preview_images",)),
    "moderation": Harmless("Neither prompts nor images are moderated here.", values=("auto", "low")),
    "complexity": Refused(_LAYERS),
    "frame_count": Refused(_LAYERS),
    "frame_duration_ms": Refused(_LAYERS),
    "svg": Refused(_LAYERS),
}

_INPUT: dict[str, Treatment] = {
    "image": Honoured(("images",)),
    "strength": Honoured(("strength",), copied=True),
}

GENERATION_FIELDS: FieldTable = _ALL | _TEXT | {"style": Refused("Describe the style in 'prompt'.")}
"""Fields of POST /v1/images/generations."""

EDIT_FIELDS: FieldTable = (
    _ALL
    | _TEXT
    | _INPUT
    | {
        "images": Honoured(("images",)),
        "mask": Honoured(("mask",)),
        "input_fidelity": Harmless("How much a model keeps of an image is its own; 'strength' sets it where it can."),
        "markup": Refused("Send 'mask', or say in 'prompt' where to change the image."),
    }
)
"""Fields of POST /v1/images/edits."""

VARIATION_FIELDS: FieldTable = _ALL | _INPUT
"""Fields of POST /v1/images/variations."""
