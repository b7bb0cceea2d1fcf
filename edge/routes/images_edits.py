"""POST /v1/images/edits: OpenAI's image edits over `ImageService.Edit`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.context import edge_of
from gpt_server.edge.images import answer_images, image_model
from gpt_server.edge.imaging import editing
from gpt_server.edge.schemas.image import EditRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.image import edit_request
from gpt_server.edge.uploads import UploadRoute

router = APIRouter(route_class=UploadRoute, tags=["images"])


@router.post("/v1/images/edits", response_class=Response)
async def edit_images(body: EditRequest, request: Request) -> Response:
    """Makes images from images and a text: by instruction, from the image, or inside a mask."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: EditRequest, request: Request) -> Response:
    edge = edge_of(request)
    model = image_model(edge, body, model_pb2.CAPABILITY_IMAGE_EDIT, "editing images")
    call = editing(await edit_request(body, model, edge.media))
    return await answer_images(request, body, model, call, "image_edit", stream=body.stream)
