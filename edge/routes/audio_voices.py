"""GET /v1/audio/voices: the voices of the models that speak, over `AudioService.ListVoices`."""

from typing import Any

from fastapi import APIRouter, Request

from gpt_server.audio.v1 import audio_service_pb2 as pb
from gpt_server.audio.v1.audio_service_pb2_grpc import AudioServiceStub
from gpt_server.common.v1 import model_pb2
from gpt_server.edge.calls import ask, timed_options
from gpt_server.edge.context import edge_of, exchange_of
from gpt_server.edge.tasks import together

router = APIRouter(tags=["audio"])


@router.get("/v1/audio/voices")
async def list_voices(request: Request, model: str | None = None) -> dict[str, Any]:
    """Lists the voices of all models that speak, or of one."""
    speak = model_pb2.CAPABILITY_SPEECH
    ready = edge_of(request).replicas.ready_models().values()
    models = [model] if model else sorted({one.name for one in ready if speak in one.capabilities})
    listed = await together([_voices(request, name) for name in models])
    return {"object": "list", "voices": [voice for voices in listed for voice in voices]}


async def _voices(request: Request, model: str) -> list[dict[str, Any]]:
    options = timed_options(request, lambda field: field)
    edge, exchange, kind = edge_of(request), exchange_of(request.scope), model_pb2.MODEL_KIND_AUDIO
    call = pb.ListVoicesRequest(model=model)
    listed = await ask(
        edge,
        exchange,
        model,
        kind,
        options,
        lambda channel: AudioServiceStub(channel).ListVoices(call, timeout=options.left_s, metadata=options.metadata),
    )
    return [
        {
            "id": voice.name,
            "name": voice.name,
            "aliases": list(voice.aliases),
            "language": voice.language or None,
            "description": voice.description,
            "model": model,
            "is_default": voice.name == listed.default_voice,
        }
        for voice in listed.voices
    ]
