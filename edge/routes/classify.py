"""POST /v1/classify and /classify: vLLM's classification over `EmbedService.Classify`."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.embedding import respond
from gpt_server.edge.schemas.embed import ClassifyRequest
from gpt_server.edge.translation.embed import classify_request
from gpt_server.edge.wire.embed import classified

router = APIRouter(route_class=JsonRoute, tags=["classification"])


@router.post("/v1/classify", response_class=Response)
@router.post("/classify", response_class=Response)
async def classify(body: ClassifyRequest, request: Request) -> Response:
    """Gives inputs a score for each of the model's labels."""
    return await respond(
        request,
        body,
        body.model,
        partial(classify_request, body),
        lambda stub: stub.Classify,
        partial(classified, body.model),
    )
