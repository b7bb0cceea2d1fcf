"""POST /v1/images/variations: OpenAI's image variations over `ImageService.Edit`, without a prompt."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.context import edge_of
from gpt_server.edge.images import answer_images, image_model
from gpt_server.edge.imaging import editing
from gpt_server.edge.schemas.image import VariationRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.image import variation_request
from gpt_server.edge.uploads import UploadRoute

router = APIRouter(route_class=UploadRoute, tags=["images"])


@router.post("/v1/images/variations", response_class=Response)
async def vary_image(body: VariationRequest, request: Request) -> Response:
    """Makes variations of an image."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: VariationRequest, request: Request) -> Response:
    edge = edge_of(request)
    model = image_model(edge, body, model_pb2.CAPABILITY_IMAGE_VARIATION, "variations")
    call = editing(await variation_request(body, model, edge.media))
    return await answer_images(request, body, model, call, "image_edit", stream=False)
