"""A real LLM service in the test's own process: real gRPC and admin ports, fake engine unless told otherwise."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gpt_server.services.common.admission import Admission
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import Service
from gpt_server.services.llm.__main__ import MODALITY
from gpt_server.services.llm.engine import LLMEngine
from gpt_server.services.llm.servicer import LLMServicer

FAKE_CHAT: Mapping[str, Any] = {"fake-chat": {"engine": "fake", "model": "none"}}


@dataclass(frozen=True)
class RunningService:
    """The service; `engines` and `admissions` are by model key."""

    service: Service[LLMEngine]
    address: str
    admin_address: str
    servicer: LLMServicer
    engines: Mapping[str, Any]
    admissions: Mapping[str, Admission]


@asynccontextmanager
async def llm_service(
    models: Mapping[str, Any] | None = None, *, load: bool = True, **settings: Any
) -> AsyncIterator[RunningService]:
    """Runs a service until the block ends.

    Args:
        models: the section of the settings; one model `fake-chat` if left out.
        load: whether models are loaded; if not, the test calls `service.load()`.
        settings: further sections, for example `grpc={"max_message_bytes": 2048}`.
    """
    service = Service(MODALITY, ServiceSettings(**{"replica": "test-0", "models": models or FAKE_CHAT} | settings))
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
