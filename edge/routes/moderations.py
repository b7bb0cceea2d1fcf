"""POST /v1/moderations: OpenAI's moderation over `EmbedService.Classify`."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import only_model
from gpt_server.edge.context import edge_of
from gpt_server.edge.embedding import respond
from gpt_server.edge.schemas.embed import ModerationRequest
from gpt_server.edge.translation.embed import moderation_request
from gpt_server.edge.wire.moderation import moderation

router = APIRouter(route_class=JsonRoute, tags=["classification"])


@router.post("/v1/moderations", response_class=Response)
async def create_moderation(body: ModerationRequest, request: Request) -> Response:
    """Says whether inputs are harmful, and in which of OpenAI's categories."""
    edge = edge_of(request)
    settings = edge.settings.moderation
    model = body.model or settings.model or only_model(edge, model_pb2.CAPABILITY_CLASSIFICATION, "moderation")
    return await respond(
        request,
        body,
        model,
        partial(moderation_request, body, model),
        lambda stub: stub.Classify,
        lambda answer: moderation(body, model, answer, settings),
    )
