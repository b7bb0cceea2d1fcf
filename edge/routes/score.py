"""POST /v1/score and /score: vLLM's score of pairs over `EmbedService.Score`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.embedding import ask
from gpt_server.edge.schemas.embed import ScoreRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.embed import score_request
from gpt_server.edge.wire.embed import scored

router = APIRouter(route_class=JsonRoute, tags=["rerank"])


@router.post("/v1/score", response_class=Response)
@router.post("/score", response_class=Response)
async def score(body: ScoreRequest, request: Request) -> Response:
    """Says how well pairs of texts belong together."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: ScoreRequest, request: Request) -> Response:
    edge, exchange = edge_of(request), exchange_of(request.scope)
    edge.began(exchange, body.model)
    call = await score_request(body, edge.media)
    answer = await ask(
        edge,
        exchange,
        body.model,
        call_options(request, body),
        lambda stub, options: stub.Score(call, timeout=options.left_s, metadata=options.metadata),
    )
    exchange.use([answer.usage])
    return Response(scored(body.model, answer), media_type="application/json")
