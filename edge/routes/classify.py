"""POST /v1/classify and /classify: vLLM's classification over `EmbedService.Classify`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.embedding import ask
from gpt_server.edge.schemas.embed import ClassifyRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.embed import classify_request
from gpt_server.edge.wire.embed import classified

router = APIRouter(route_class=JsonRoute, tags=["classification"])


@router.post("/v1/classify", response_class=Response)
@router.post("/classify", response_class=Response)
async def classify(body: ClassifyRequest, request: Request) -> Response:
    """Gives inputs a score for each of the model's labels."""
    return await while_connected(request.receive, _answer(body, request))


async def _answer(body: ClassifyRequest, request: Request) -> Response:
    edge, exchange = edge_of(request), exchange_of(request.scope)
    edge.began(exchange, body.model)
    call = await classify_request(body, edge.media)
    answer = await ask(
        edge,
        exchange,
        body.model,
        call_options(request, body),
        lambda stub, options: stub.Classify(call, timeout=options.left_s, metadata=options.metadata),
    )
    exchange.use([answer.usage])
    return Response(classified(body.model, answer), media_type="application/json")
