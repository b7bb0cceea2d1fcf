"""A Consul agent that many tests share: what they register has names of their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.cluster.agent import Agent, agent


def pytest_configure(config: pytest.Config) -> None:
    """py-consul calls aiohttp in a way that aiohttp would rather not see any more."""
    config.addinivalue_line("filterwarnings", "ignore:(verify_ssl|ssl_context) is deprecated:DeprecationWarning")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def consul(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    """An agent with a leader."""
    async with agent(tmp_path_factory.mktemp("consul") / "shared") as running:
        yield running
