"""POST /v1/completions: OpenAI's older API for raw prompts, over one `LLMService.Generate` per prompt."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import CallOptions, ask, call_options
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.generation import Generation, collect
from gpt_server.edge.schemas.completions import CompletionRequest
from gpt_server.edge.sse import EventStream, Write
from gpt_server.edge.tasks import together, while_connected
from gpt_server.edge.telemetry import Exchange
from gpt_server.edge.translation.generation import completion_request, is_its_own_text
from gpt_server.edge.wire.common import Head
from gpt_server.edge.wire.completions import CompletionChunks, completion
from gpt_server.llm.v1.llm_service_pb2 import DetokenizeRequest, GenerateRequest
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

router = APIRouter(route_class=JsonRoute, tags=["completions"])


@router.post("/v1/completions", response_class=Response)
async def create_completion(body: CompletionRequest, request: Request) -> Response:
    """Continues one or several prompts, whole or as a stream of server-sent events."""
    options = call_options(request, body)
    answer = _answer(edge_of(request), exchange_of(request.scope), body, options)
    return await while_connected(request.receive, answer)


async def _answer(edge: Edge, exchange: Exchange, body: CompletionRequest, options: CallOptions) -> Response:
    edge.began(exchange, body.model)
    requests = [completion_request(body, prompt) for prompt in body.prompts]
    generations = [Generation(edge, exchange, request, options) for request in requests]
    with ExitStack() as cleanup:
        for generation in generations:
            cleanup.callback(generation.close)
        await together(generation.start() for generation in generations)
        echoes = await together(
            _echo(edge, exchange, body, options, *each) for each in zip(requests, generations, strict=True)
        )
        head = Head.of("cmpl", "text_completion", body.model, generations[0].replica)
        if body.stream:
            chunks = CompletionChunks(head, body, [generation.started for generation in generations], echoes)
            return EventStream(
                partial(_write_stream, generations, chunks, exchange),
                cleanup.pop_all().close,
                keep_alive_s=edge.settings.sse_keep_alive_s,
                limit_s=options.left_s,
            )
        answers = await together(collect(generation) for generation in generations)
    exchange.use([answer.usage for answer in answers])
    return Response(completion(head, body, answers, echoes), media_type="application/json")


async def _echo(
    edge: Edge,
    exchange: Exchange,
    body: CompletionRequest,
    options: CallOptions,
    request: GenerateRequest,
    generation: Generation,
) -> str:
    """Returns the text that the choices of a prompt begin with; ids become text by the model that takes them."""
    if not body.echo:
        return ""
    if is_its_own_text(body, request):
        return request.text
    call = DetokenizeRequest(model=body.model, token_ids=generation.started.prompt_token_ids)
    answer = await ask(
        edge,
        exchange,
        body.model,
        model_pb2.MODEL_KIND_LLM,
        options,
        lambda channel: LLMServiceStub(channel).Detokenize(call, timeout=options.left_s, metadata=options.metadata),
    )
    return answer.text


async def _write_stream(
    generations: Sequence[Generation], chunks: CompletionChunks, exchange: Exchange, write: Write
) -> None:
    pumps = (_write_one(prompt, generation, chunks, write) for prompt, generation in enumerate(generations))
    usages = await together(pumps)
    exchange.use(usages)
    await write(chunks.end(usages))


async def _write_one(prompt: int, generation: Generation, chunks: CompletionChunks, write: Write) -> usage_pb2.Usage:
    await write(chunks.start(prompt))
    async for message in generation.messages():
        events = chunks.deltas(prompt, message)
        if message.HasField("finished"):
            events += chunks.finish(prompt, message.finished)
        await write(events)
    return message.finished.usage
