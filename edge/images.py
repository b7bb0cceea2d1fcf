"""What the image routes share: which model, and the answer, whole, by URL or as a stream."""

from contextlib import ExitStack

from starlette.requests import Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import call_options, only_model
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.imaging import Image, Imaging, Open, collect
from gpt_server.edge.schemas.image import ImageBody
from gpt_server.edge.sse import EventStream, Write
from gpt_server.edge.wire.image import ImageEvents, images_response

FILES_PATH = "/v1/images/files/"


def image_model(edge: Edge, body: ImageBody, does: "model_pb2.Capability.ValueType", what: str) -> str:
    """Returns the model of a request, which may leave it out where one alone does it. Raises `ApiError`."""
    return body.model or only_model(edge, does, what)


async def answer_images(
    request: Request, body: ImageBody, model: str, open_call: Open, kind: str, *, stream: bool
) -> Response:
    """Returns the answer to a request for images. Raises `ApiError`."""
    edge, exchange = edge_of(request), exchange_of(request.scope)
    edge.began(exchange, model)
    options = call_options(request, body)
    imaging = Imaging(edge, exchange, model, options, open_call)
    with ExitStack() as cleanup:
        cleanup.callback(imaging.close)
        await imaging.start()
        if stream:
            events = ImageEvents(kind, body)

            async def write_all(write: Write) -> None:
                async for event in imaging.events():
                    await write(events.event(event))

            return EventStream(
                write_all,
                cleanup.pop_all().close,
                keep_alive_s=edge.settings.sse_keep_alive_s,
                limit_s=options.left_s,
            )
        answer = await collect(imaging)
    urls = None
    if body.response_format == "url":
        urls = [await _kept(edge, request, image, body.output_format) for image in answer.images]
    return Response(images_response(body, answer, urls), media_type="application/json")


async def _kept(edge: Edge, request: Request, image: Image, extension: str) -> str:
    name = await edge.files.put(image.content, extension)
    base = edge.settings.files.public_url or str(request.base_url)
    return base.rstrip("/") + FILES_PATH + name
