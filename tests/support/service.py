"""A real service in the test's own process: real gRPC and admin ports, fake engine unless told otherwise.

Audio and images are imported where they are used: an environment of another engine lacks their libraries.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gpt_server.services.common.admission import Admission
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import Modality, Service
from gpt_server.services.embed.__main__ import MODALITY as EMBED
from gpt_server.services.llm.__main__ import MODALITY
from gpt_server.services.llm.servicer import LLMServicer

FAKE_CHAT: Mapping[str, Any] = {"fake-chat": {"engine": "fake", "model": "none"}}
FAKE_EMBED: Mapping[str, Any] = {
    f"fake-{task}": {"engine": "fake", "model": "none", "engine_args": {"task": task}}
    for task in ("embedding", "rerank", "classification")
}

FAKE_AUDIO: Mapping[str, Any] = {
    f"fake-{name}": {"engine": "fake", "model": "none", "engine_args": {"task": task}}
    for name, task in (("ear", "transcription"), ("voice", "speech"))
}
FAKE_IMAGE: Mapping[str, Any] = {
    "fake-image": {"engine": "fake", "model": "none", "limits": {"max_running": 2, "max_queued": 1}}
}


@dataclass(frozen=True)
class RunningService:
    """The service; `engines` and `admissions` are by model key."""

    service: Service[Any]
    address: str
    admin_address: str
    servicer: LLMServicer
    engines: Mapping[str, Any]
    admissions: Mapping[str, Admission]


@asynccontextmanager
async def llm_service(
    models: Mapping[str, Any] | None = None, *, load: bool = True, **settings: Any
) -> AsyncIterator[RunningService]:
    """Runs an LLM service until the block ends.

    Args:
        models: the section of the settings; one model `fake-chat` if left out.
        load: whether models are loaded; if not, the test calls `service.load()`.
        settings: further sections, for example `grpc={"max_message_bytes": 2048}`.
    """
    async with _running(MODALITY, models or FAKE_CHAT, load, settings) as running:
        yield running


@asynccontextmanager
async def embed_service(
    models: Mapping[str, Any] | None = None, *, load: bool = True, **settings: Any
) -> AsyncIterator[RunningService]:
    """Runs an embed service; arguments as of `llm_service`, by default with a fake model for each task."""
    async with _running(EMBED, models or FAKE_EMBED, load, settings) as running:
        yield running


@asynccontextmanager
async def audio_service(
    models: Mapping[str, Any] | None = None, *, load: bool = True, **settings: Any
) -> AsyncIterator[RunningService]:
    """Runs an audio service; arguments as of `llm_service`, by default with `fake-ear` and `fake-voice`."""
    from gpt_server.services.audio.__main__ import MODALITY as AUDIO

    async with _running(AUDIO, models or FAKE_AUDIO, load, settings) as running:
        yield running


@asynccontextmanager
async def image_service(
    models: Mapping[str, Any] | None = None, *, load: bool = True, **settings: Any
) -> AsyncIterator[RunningService]:
    """Runs an image service; arguments as of `llm_service`. `fake-image` has two slots and one place in the queue."""
    from gpt_server.services.image.__main__ import MODALITY as IMAGE

    async with _running(IMAGE, models or FAKE_IMAGE, load, settings) as running:
        yield running


@asynccontextmanager
async def _running(
    modality: Modality[Any], models: Mapping[str, Any], load: bool, settings: Mapping[str, Any]
) -> AsyncIterator[RunningService]:
    service: Service[Any] = Service(
        modality, ServiceSettings(**{"replica": "test-0", "models": models} | dict(settings))
    )
    await service.open()
    try:
        if load:
            await service.load()
        yield RunningService(
            service=service,
            address=service.address,
            admin_address=service.admin_address,
            servicer=LLMServicer(service.models),
            engines={model.key: model.loaded for model in service.models},
            admissions={model.key: model.admission for model in service.models},
        )
    finally:
        await service.close()
