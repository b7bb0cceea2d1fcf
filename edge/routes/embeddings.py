"""POST /v1/embeddings: OpenAI's embeddings over `EmbedService.Embed`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.embedding import ask, embed
from gpt_server.edge.schemas.embed import EmbeddingRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.embed import embed_request
from gpt_server.edge.wire.embed import embeddings

router = APIRouter(route_class=JsonRoute, tags=["embeddings"])


@router.post("/v1/embeddings", response_class=Response)
async def create_embeddings(body: EmbeddingRequest, request: Request) -> Response:
    """Turns texts, token ids or pictures into vectors."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: EmbeddingRequest, request: Request) -> Response:
    edge, exchange = edge_of(request), exchange_of(request.scope)
    edge.began(exchange, body.model)
    call = embed(await embed_request(body, edge.media))
    vectors, finished = await ask(edge, exchange, body.model, call_options(request, body), call)
    exchange.use([finished.usage])
    return Response(embeddings(body, vectors, finished), media_type="application/json")
