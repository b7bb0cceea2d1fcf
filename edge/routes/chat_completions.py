"""POST /v1/chat/completions: OpenAI's chat API over `LLMService.Generate`."""

from contextlib import ExitStack
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import CallOptions, call_options
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.errors import ApiError
from gpt_server.edge.generation import Generation, collect
from gpt_server.edge.schemas.chat import ChatCompletionRequest
from gpt_server.edge.sse import EventStream, Write
from gpt_server.edge.tasks import while_connected
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.translation.generation import chat_request
from gpt_server.edge.wire.chat import ChatChunks, chat_completion
from gpt_server.edge.wire.common import Head

router = APIRouter(route_class=JsonRoute, tags=["chat"])


@router.post("/v1/chat/completions", response_class=Response)
async def create_chat_completion(body: ChatCompletionRequest, request: Request) -> Response:
    """Answers a conversation, whole or as a stream of server-sent events."""
    options = call_options(request, body)
    answer = _answer(edge_of(request), exchange_of(request.scope), body, options)
    return await while_connected(request.receive, answer)


async def _answer(edge: Edge, exchange: Exchange, body: ChatCompletionRequest, options: CallOptions) -> Response:
    edge.began(exchange, body.model)
    model = edge.replicas.describe(edge.replicas.served_as(body.model))
    if model.kind == model_pb2.MODEL_KIND_LLM and model_pb2.CAPABILITY_CHAT not in model.capabilities:
        raise ApiError("WRONG_MODEL_KIND", f"The model `{body.model}` does completions, not chat.", param="model")
    generation = Generation(edge, exchange, await chat_request(body, edge.media), options)
    with ExitStack() as cleanup:
        cleanup.callback(generation.close)
        await generation.start()
        head = Head.of("chatcmpl", "chat.completion", body.model, generation.replica, body.service_tier)
        if body.stream:
            chunks = ChatChunks(head, body, generation.started)
            return EventStream(
                partial(_write_stream, generation, chunks, exchange),
                cleanup.pop_all().close,
                keep_alive_s=edge.settings.sse_keep_alive_s,
                limit_s=options.left_s,
            )
        answer = await collect(generation)
    exchange.use([answer.usage])
    return Response(chat_completion(head, body, answer), media_type="application/json")


async def _write_stream(generation: Generation, chunks: ChatChunks, exchange: Exchange, write: Write) -> None:
    await write(chunks.roles())
    async for message in generation.messages():
        events = chunks.deltas(message)
        if message.HasField("finished"):
            exchange.use([message.finished.usage])
            events += chunks.end(message.finished)
        await write(events)
