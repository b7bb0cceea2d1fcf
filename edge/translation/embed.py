"""Requests for vectors, scores and labels -> `gpt_server.embed.v1`."""

from typing import Any

from gpt_server.edge.media import MediaLoader
from gpt_server.edge.schemas.embed import (
    ClassifyRequest,
    Content,
    EmbeddingRequest,
    ImageUrl,
    Input,
    ModerationRequest,
    RerankRequest,
    ScoreRequest,
    TextOrImage,
)
from gpt_server.edge.translation.generation import copy_fields
from gpt_server.embed.v1 import embed_service_pb2 as pb
from gpt_server.embed.v1 import input_pb2

WHOLE_WINDOW = -1
FORMATS = {
    "int8": pb.VECTOR_FORMAT_INT8,
    "binary": pb.VECTOR_FORMAT_BINARY,
    "ubinary": pb.VECTOR_FORMAT_BINARY,
}
"""Names of `output_dtype` but `float`; the two kinds of bits differ in how their bytes are written."""


async def embed_request(body: EmbeddingRequest, media: MediaLoader) -> pb.EmbedRequest:
    """Returns an embedding request as a service understands it. Raises `ApiError`: a picture cannot be loaded."""
    request = pb.EmbedRequest()
    copy_fields(body, request)
    if body.output_dtype != "float":
        request.format = FORMATS[body.output_dtype]
    await _fill_inputs(request.inputs, body.input, media)
    return request


async def rerank_request(body: RerankRequest, model: str, media: MediaLoader) -> pb.RerankRequest:
    """Returns a rerank request as a service understands it. Raises as `embed_request`."""
    request = pb.RerankRequest()
    copy_fields(body, request)
    request.model = model
    if body.truncate and body.truncate_prompt_tokens is None:
        request.options.truncate_prompt_tokens = WHOLE_WINDOW
    await _fill(request.query, body.query, media, "query")
    name = "documents" if body.documents is not None else "texts"
    for i, document in enumerate(body.contents):
        await _fill(request.documents.add(), document, media, f"{name}[{i}]")
    return request


async def score_request(body: ScoreRequest, media: MediaLoader) -> pb.ScoreRequest:
    """Returns a score request as a service understands it. Raises as `embed_request`."""
    request = pb.ScoreRequest()
    copy_fields(body, request)
    for i, (first, second) in enumerate(body.pairs):
        pair = request.pairs.add()
        await _fill(pair.first, first, media, f"text_1[{i}]")
        await _fill(pair.second, second, media, f"text_2[{i}]")
    return request


async def classify_request(body: ClassifyRequest, media: MediaLoader) -> pb.ClassifyRequest:
    """Returns a classify request as a service understands it. Raises as `embed_request`."""
    request = pb.ClassifyRequest()
    copy_fields(body, request)
    await _fill_inputs(request.inputs, body.input, media)
    return request


async def moderation_request(body: ModerationRequest, model: str, media: MediaLoader) -> pb.ClassifyRequest:
    """Returns a moderation request as a service understands it: texts are cut where the model's window ends."""
    request = pb.ClassifyRequest(model=model)
    has_pictures = False
    for i, item in enumerate(body.input):
        content = request.inputs.add()
        if isinstance(item, str):
            content.text = item
            continue
        for j, part in enumerate(item):
            has_pictures |= part.image_url is not None
            await _add_part(content.parts, part.text, part.image_url, media, f"input[{i}][{j}].image_url")
    if not has_pictures:
        request.options.truncate_prompt_tokens = WHOLE_WINDOW
    return request


async def _fill_inputs(inputs: Any, given: list[Input], media: MediaLoader) -> None:
    for i, item in enumerate(given):
        content = inputs.add()
        if isinstance(item, list):
            content.token_ids.ids.extend(item)
        else:
            await _fill(content, item, media, f"input[{i}]")


async def _fill(content: input_pb2.Input, given: Content, media: MediaLoader, param: str) -> None:
    if isinstance(given, TextOrImage):
        if given.image is None:
            content.text = given.text or ""
        else:
            await _add_part(content.parts, given.text, ImageUrl(url=given.image), media, f"{param}.image")
    elif given.startswith("data:image/"):  # gpt_server's form of a picture
        await _add_part(content.parts, None, ImageUrl(url=given), media, param)
    else:
        content.text = given


async def _add_part(
    parts: input_pb2.Parts, text: str | None, image: ImageUrl | None, media: MediaLoader, param: str
) -> None:
    if text:
        parts.parts.add(text=text)
    if image is not None:
        parts.parts.add().image.media.CopyFrom(await media.load(image.url, "image", param))
