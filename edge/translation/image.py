"""Requests for images -> `gpt_server.image.v1`."""

from gpt_server.common.v1.media_pb2 import Media
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.image import (
    EditRequest,
    GenerationRequest,
    ImageBody,
    ImageReference,
    Picture,
    VariationRequest,
)
from gpt_server.edge.translation.generation import copy_fields
from gpt_server.edge.uploads import Upload
from gpt_server.image.v1 import image_service_pb2 as pb


def generate_request(body: GenerationRequest, model: str) -> pb.GenerateRequest:
    """Returns a request for images from a text as a service understands it."""
    request = pb.GenerateRequest(model=model)
    copy_fields(body, request)
    _fill_options(request.options, body, body.partial_images if body.stream else None)
    return request


async def edit_request(body: EditRequest, model: str, media: MediaLoader) -> pb.EditRequest:
    """Returns a request for an edit as a service understands it. Raises `ApiError`: a picture cannot be loaded."""
    request = pb.EditRequest(model=model)
    copy_fields(body, request)
    _fill_options(request.options, body, body.partial_images if body.stream else None)
    name = "image" if body.image else "images"
    for i, picture in enumerate(body.image or body.images or ()):
        request.images.append(await _media(picture, media, f"{name}[{i}]"))
    if body.mask is not None:
        request.mask.CopyFrom(await _media(body.mask, media, "mask"))
    return request


async def variation_request(body: VariationRequest, model: str, media: MediaLoader) -> pb.EditRequest:
    """Returns a request for variations as a service understands it. Raises as `edit_request`."""
    request = pb.EditRequest(model=model)
    copy_fields(body, request)
    _fill_options(request.options, body, None)
    request.images.append(await _media(body.image, media, "image"))
    return request


def _fill_options(options: pb.Options, body: ImageBody, previews: int | None) -> None:
    if body.size_px is not None:
        options.width_px, options.height_px = body.size_px
    options.format = pb.ImageFormat.Value(f"IMAGE_FORMAT_{body.output_format.upper()}")
    if body.background == "transparent":
        options.transparent_background = True
    if previews:
        options.preview_images = previews


async def _media(picture: Picture, media: MediaLoader, param: str) -> Media:
    if isinstance(picture, Upload):
        media.check_size(picture.size_bytes, param)
        content = b"".join([piece async for piece in picture.pieces()])
        return Media(content=content, media_type=picture.media_type)
    return await media.load(picture.image_url if isinstance(picture, ImageReference) else picture, "image", param)
