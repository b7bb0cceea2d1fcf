"""POST /v1/load_lora_adapter and POST /v1/unload_lora_adapter: vLLM's names for adapters that come and go.

Every replica of the model does it, and the answer comes when all have. Off unless the settings allow it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.bodies import JsonRoute
from gpt_server.edge.calls import call_options, only_model
from gpt_server.edge.context import Edge, edge_of, exchange_of
from gpt_server.edge.errors import ApiError, from_rpc
from gpt_server.edge.replicas import Replica
from gpt_server.edge.schemas.base import Body
from gpt_server.edge.schemas.lora_adapters import LoadAdapterRequest, UnloadAdapterRequest
from gpt_server.edge.translation.generation import copy_fields
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

router = APIRouter(route_class=JsonRoute, tags=["adapters"])


@router.post("/v1/load_lora_adapter", response_class=PlainTextResponse)
async def load_lora_adapter(body: LoadAdapterRequest, request: Request) -> PlainTextResponse:
    """Loads an adapter on a model."""
    edge = _allowed(request)
    call = pb.LoadAdapterRequest()
    copy_fields(body, call)
    call.model = body.base_model_name or only_model(
        edge, model_pb2.CAPABILITY_ADAPTER_LOADING, "loading adapters", "base_model_name"
    )
    await _on_all(
        call.model,
        "base_model_name",
        body,
        request,
        lambda stub, **options: stub.LoadAdapter(call, **options),
        lambda replica: not replica.watched or body.lora_name in replica.models,
    )
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


@router.post("/v1/unload_lora_adapter", response_class=PlainTextResponse)
async def unload_lora_adapter(body: UnloadAdapterRequest, request: Request) -> PlainTextResponse:
    """Unloads an adapter."""
    _allowed(request)
    call = pb.UnloadAdapterRequest()
    copy_fields(body, call)
    await _on_all(
        call.adapter,
        "lora_name",
        body,
        request,
        lambda stub, **options: stub.UnloadAdapter(call, **options),
        lambda replica: not replica.serves(body.lora_name),
    )
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


def _allowed(request: Request) -> Edge:
    edge = edge_of(request)
    if not edge.settings.allow_adapter_changes:
        raise ApiError(
            "ROUTE_NOT_SERVED",
            f"{request.url.path} is switched off: the server's setting allow_adapter_changes switches it on.",
        )
    return edge


async def _on_all(
    name: str,
    param: str,
    body: Body,
    request: Request,
    call: Callable[..., Awaitable[Any]],
    shows: Callable[[Replica], bool],
) -> None:
    """Makes a call to every replica that serves the name in `param`, and returns when what each reports `shows` it.

    Raises:
        ApiError: nobody serves it, one has refused, or the time is over.
    """
    edge, options = edge_of(request), call_options(request, body)
    edge.began(exchange_of(request.scope), name)
    try:
        replicas: Sequence[Replica] = edge.replicas.serving(name, model_pb2.MODEL_KIND_LLM)
    except ApiError as error:
        error.param = param
        raise
    calls = (
        call(LLMServiceStub(replica.channel), timeout=options.left_s, metadata=options.metadata) for replica in replicas
    )
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, grpc.aio.AioRpcError):
            refused = from_rpc(result, options.to_param)
            refused.param = param if refused.reason == "MODEL_NOT_FOUND" else refused.param
            raise refused from result
        if isinstance(result, BaseException):
            raise result
    try:
        async with asyncio.timeout(options.left_s):  # a Watch tells of it a moment later
            await edge.replicas.until(lambda: all(map(shows, replicas)))
    except TimeoutError:
        raise ApiError("TIMEOUT", "It is done, but not every replica has reported it in time.") from None
