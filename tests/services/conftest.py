"""A running service with the fake engine, and a client of it."""

from collections.abc import AsyncIterator

import grpc
import pytest

from gpt_server.llm.v1 import llm_service_pb2_grpc
from tests.services.asking import Stub
from tests.support.service import RunningService, llm_service


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    """One model, `fake-chat`: two slots, two places in the queue."""
    limits = {"max_running": 2, "max_queued": 2}
    async with llm_service({"fake-chat": {"engine": "fake", "model": "none", "limits": limits}}) as running:
        yield running


@pytest.fixture
async def channel(service: RunningService) -> AsyncIterator[grpc.aio.Channel]:
    """A plain channel to the service."""
    async with grpc.aio.insecure_channel(service.address) as opened:
        yield opened


@pytest.fixture
def llm(channel: grpc.aio.Channel) -> Stub:
    """The LLM service's stub."""
    return llm_service_pb2_grpc.LLMServiceStub(channel)
