"""POST /v1/rerank, /v2/rerank and /rerank: Cohere's, Jina's, vLLM's and TEI's rerank over `EmbedService.Rerank`."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import only_model
from gpt_server.edge.context import edge_of
from gpt_server.edge.embedding import respond
from gpt_server.edge.schemas.embed import RerankRequest
from gpt_server.edge.translation.embed import rerank_request
from gpt_server.edge.wire.embed import reranked, reranked_texts

router = APIRouter(route_class=JsonRoute, tags=["rerank"])


@router.post("/v1/rerank", response_class=Response)
@router.post("/v2/rerank", response_class=Response)
@router.post("/rerank", response_class=Response)
async def rerank(body: RerankRequest, request: Request) -> Response:
    """Orders documents by how well they answer a query."""
    model = body.model or only_model(edge_of(request), model_pb2.CAPABILITY_RERANK, "reranking")
    return await respond(
        request,
        body,
        model,
        partial(rerank_request, body, model),
        lambda stub: stub.Rerank,
        partial(reranked, body, model) if body.texts is None else partial(reranked_texts, body),
    )
