"""A service with the fake engine, an edge in front of it, and an HTTP client."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.edge.stub import Stub, stub_service
from tests.support.edge import RunningEdge, edge_server
from tests.support.service import RunningService, llm_service


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    """One model, `fake-chat`: two slots, two places in the queue."""
    limits = {"max_running": 2, "max_queued": 2}
    model = {"engine": "fake", "model": "none", "limits": limits, "names": ["fake-chat", "org/alias"]}
    async with llm_service({"fake-chat": model}) as running:
        yield running


@pytest.fixture
async def edge(service: RunningService) -> AsyncIterator[RunningEdge]:
    """An edge in front of the service."""
    async with edge_server([service.address]) as running:
        yield running


@pytest.fixture
async def http(edge: RunningEdge) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the edge."""
    async with httpx2.AsyncClient(base_url=edge.url) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an edge in front of the fake engine, for files whose tests leave nothing behind."""
    async with (
        llm_service() as service,
        edge_server([service.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        yield client


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A service without an engine; tests set its `play`."""
    async with stub_service() as running:
        yield running


@pytest.fixture
async def stub_edge(stub: Stub) -> AsyncIterator[RunningEdge]:
    """An edge in front of the stub."""
    async with edge_server([stub.address]) as running:
        yield running
