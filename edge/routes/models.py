"""GET /v1/models and GET /v1/models/{id}: what can be asked for now, as the replicas report it."""

from typing import Any

from fastapi import APIRouter, Request

from gpt_server.common.v1 import model_pb2
from gpt_server.edge.context import edge_of, exchange_of

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Lists the models that are ready and that the caller's key may use, under each of their names."""
    edge, key_name = edge_of(request), exchange_of(request.scope).key_name
    models = edge.replicas.ready_models().items()
    return {"object": "list", "data": [_model(name, it) for name, it in models if edge.limits.allows(key_name, name)]}


@router.get("/v1/models/{model_id:path}")
async def retrieve_model(model_id: str, request: Request) -> dict[str, Any]:
    """Describes one model. Its name may hold slashes, percent-encoded or not."""
    edge = edge_of(request)
    edge.limits.check_model(exchange_of(request.scope).key_name, model_id)
    return _model(model_id, edge.replicas.describe(model_id))


def _model(name: str, model: model_pb2.ModelDescription) -> dict[str, Any]:
    """Returns OpenAI's model object and what we add: vLLM's keys, and what the model can do."""
    capabilities = (model_pb2.Capability.Name(c).removeprefix("CAPABILITY_").lower() for c in model.capabilities)
    limits = model.limits
    return {
        "id": name,
        "object": "model",
        "created": model.created.seconds,
        "owned_by": "gpt-server",
        "root": model.name,
        "parent": model.parent or None,
        "max_model_len": limits.max_context_tokens if limits.HasField("max_context_tokens") else None,
        "kind": model_pb2.ModelKind.Name(model.kind).removeprefix("MODEL_KIND_").lower(),
        "capabilities": sorted(capabilities),
        "engine": model.engine,
    }
