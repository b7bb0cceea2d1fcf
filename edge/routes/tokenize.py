"""POST /tokenize and POST /detokenize, in vLLM's shapes."""

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import ask, call_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.schemas.tokenize import DetokenizeRequest, TokenizeRequest
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.translation.chat import fill_conversation
from gpt_server.edge.translation.generation import copy_fields
from gpt_server.llm.v1 import llm_service_pb2
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

router = APIRouter(route_class=JsonRoute, tags=["tokens"])


@router.post("/tokenize", response_class=Response)
async def tokenize(body: TokenizeRequest, request: Request) -> Response:
    """Turns a text or a conversation into token ids, exactly as a request for an answer would."""
    options = call_options(request, body)
    call = llm_service_pb2.TokenizeRequest()
    copy_fields(body, call)
    if body.messages:
        await while_connected(request.receive, fill_conversation(call.chat, body, edge_of(request).media))
    edge = edge_of(request)
    exchange = exchange_of(request.scope)
    edge.began(exchange, body.model)
    answer = await ask(
        edge,
        exchange,
        body.model,
        model_pb2.MODEL_KIND_LLM,
        options,
        lambda channel: LLMServiceStub(channel).Tokenize(call, timeout=options.left_s, metadata=options.metadata),
    )
    tokens = {
        "count": len(answer.token_ids),
        "max_model_len": answer.max_context_tokens,
        "tokens": list(answer.token_ids),
        "token_strs": list(answer.token_strings) if body.return_token_strs else None,
    }
    return Response(orjson.dumps(tokens), media_type="application/json")


@router.post("/detokenize", response_class=Response)
async def detokenize(body: DetokenizeRequest, request: Request) -> Response:
    """Turns token ids into text."""
    options = call_options(request, body)
    call = llm_service_pb2.DetokenizeRequest()
    copy_fields(body, call)
    edge = edge_of(request)
    exchange = exchange_of(request.scope)
    edge.began(exchange, body.model)
    answer = await ask(
        edge,
        exchange,
        body.model,
        model_pb2.MODEL_KIND_LLM,
        options,
        lambda channel: LLMServiceStub(channel).Detokenize(call, timeout=options.left_s, metadata=options.metadata),
    )
    return Response(orjson.dumps({"prompt": answer.text}), media_type="application/json")
