"""POST /v1/images/generations: OpenAI's images over `ImageService.Generate`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.context import edge_of
from gpt_server.edge.images import answer_images, image_model
from gpt_server.edge.imaging import generating
from gpt_server.edge.schemas.image import GenerationRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.image import generate_request

router = APIRouter(route_class=JsonRoute, tags=["images"])


@router.post("/v1/images/generations", response_class=Response)
async def create_images(body: GenerationRequest, request: Request) -> Response:
    """Makes images from a text, whole or as a stream of server-sent events."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: GenerationRequest, request: Request) -> Response:
    model = image_model(edge_of(request), body, model_pb2.CAPABILITY_IMAGE_GENERATION, "making images")
    call = generating(generate_request(body, model))
    return await answer_images(request, body, model, call, "image_generation", stream=body.stream)
