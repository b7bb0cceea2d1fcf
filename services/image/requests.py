"""Requests of `gpt_server.image.v1` -> dataclasses. Names are the same on both sides; `checks` looks at the values."""

from collections.abc import Mapping

from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.services.common.protobuf import if_set, media, optional, optional_enum
from gpt_server.services.image.engine import EditRequest, GenerateRequest, ImageFormat, Options

IMAGE_FORMATS: Mapping[int, ImageFormat] = {
    pb.IMAGE_FORMAT_PNG: "png",
    pb.IMAGE_FORMAT_JPEG: "jpeg",
    pb.IMAGE_FORMAT_WEBP: "webp",
}


def generate_request(request: pb.GenerateRequest) -> GenerateRequest:
    """Returns the engine's form of a request. Raises `InvalidField`: an enum has no allowed value."""
    return GenerateRequest(request.model, request.prompt, _options(request.options))


def edit_request(request: pb.EditRequest) -> EditRequest:
    """Returns the engine's form of a request. Raises as `generate_request`."""
    return EditRequest(
        model=request.model,
        prompt=request.prompt,
        images=tuple(media(image) for image in request.images),
        options=_options(request.options),
        mask=if_set(request, "mask", request.mask, media),
        strength=optional(request, "strength"),
    )


def _options(options: pb.Options) -> Options:
    return Options(
        negative_prompt=options.negative_prompt,
        width_px=optional(options, "width_px"),
        height_px=optional(options, "height_px"),
        n=optional(options, "n"),
        num_inference_steps=optional(options, "num_inference_steps"),
        guidance_scale=optional(options, "guidance_scale"),
        true_cfg_scale=optional(options, "true_cfg_scale"),
        seed=optional(options, "seed"),
        format=optional_enum(options, "format", IMAGE_FORMATS, "options.format"),
        quality=optional(options, "quality"),
        transparent_background=optional(options, "transparent_background"),
        preview_images=optional(options, "preview_images"),
        priority=optional(options, "priority"),
    )
