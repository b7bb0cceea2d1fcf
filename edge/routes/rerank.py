"""POST /v1/rerank, /v2/rerank and /rerank: Cohere's, Jina's, vLLM's and TEI's rerank over `EmbedService.Rerank`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.embedding import ask, only_model
from gpt_server.edge.schemas.embed import RerankRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.embed import rerank_request
from gpt_server.edge.wire.embed import reranked, reranked_texts

router = APIRouter(route_class=JsonRoute, tags=["rerank"])


@router.post("/v1/rerank", response_class=Response)
@router.post("/v2/rerank", response_class=Response)
@router.post("/rerank", response_class=Response)
async def rerank(body: RerankRequest, request: Request) -> Response:
    """Orders documents by how well they answer a query."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: RerankRequest, request: Request) -> Response:
    edge, exchange = edge_of(request), exchange_of(request.scope)
    model = body.model or only_model(edge, model_pb2.CAPABILITY_RERANK, "reranking")
    edge.began(exchange, model)
    call = await rerank_request(body, model, edge.media)
    answer = await ask(
        edge,
        exchange,
        model,
        call_options(request, body),
        lambda stub, options: stub.Rerank(call, timeout=options.left_s, metadata=options.metadata),
    )
    exchange.use([answer.usage])
    shape = reranked(body, model, answer) if body.texts is None else reranked_texts(body, answer)
    return Response(shape, media_type="application/json")
