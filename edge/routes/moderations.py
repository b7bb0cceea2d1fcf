"""POST /v1/moderations: OpenAI's moderation over `EmbedService.Classify`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.embedding import ask, only_model
from gpt_server.edge.schemas.embed import ModerationRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.embed import moderation_request
from gpt_server.edge.wire.moderation import moderation

router = APIRouter(route_class=JsonRoute, tags=["classification"])


@router.post("/v1/moderations", response_class=Response)
async def create_moderation(body: ModerationRequest, request: Request) -> Response:
    """Says whether inputs are harmful, and in which of OpenAI's categories."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: ModerationRequest, request: Request) -> Response:
    edge, exchange = edge_of(request), exchange_of(request.scope)
    settings = edge.settings.moderation
    model = body.model or settings.model or only_model(edge, model_pb2.CAPABILITY_CLASSIFICATION, "moderation")
    edge.began(exchange, model)
    call = await moderation_request(body, model, edge.media)
    answer = await ask(
        edge,
        exchange,
        model,
        call_options(request, body),
        lambda stub, options: stub.Classify(call, timeout=options.left_s, metadata=options.metadata),
    )
    exchange.use([answer.usage])
    return Response(moderation(body, model, answer, settings), media_type="application/json")
