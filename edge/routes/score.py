"""POST /v1/score and /score: vLLM's score of pairs over `EmbedService.Score`."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.embedding import respond
from gpt_server.edge.schemas.embed import ScoreRequest
from gpt_server.edge.translation.embed import score_request
from gpt_server.edge.wire.embed import scored

router = APIRouter(route_class=JsonRoute, tags=["rerank"])


@router.post("/v1/score", response_class=Response)
@router.post("/score", response_class=Response)
async def score(body: ScoreRequest, request: Request) -> Response:
    """Says how well pairs of texts belong together."""
    return await respond(
        request, body, body.model, partial(score_request, body), lambda stub: stub.Score, partial(scored, body.model)
    )
