"""One service with the real SGLang, in the test's process; the engine's own tests use the same engine.

SGLang runs one model in a process at a time: what starts another (`test_vision.py`) comes first.
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.engines.adapters_suite import ADAPTERS
from tests.engines.asking import Subject
from tests.support.edge import RunningEdge, edge_server
from tests.support.leaving import pytest_sessionfinish, pytest_unconfigure  # noqa: F401 (hooks)
from tests.support.service import RunningService, llm_service
from tests.with_sglang.llm import CHAT, SMALL

LIBRARIES = (
    "torch",
    "sglang",
    "transformers",
    "xgrammar",
    "multiprocessing",
    "importlib",
    "openai_harmony",
    "zmq",
    "uvloop",
    "asyncio",
    "tilelang",
    "triton",
)


def pytest_configure(config: pytest.Config) -> None:
    """Lets the libraries warn; what our own code is warned of still fails."""
    for library in LIBRARIES:
        config.addinivalue_line("filterwarnings", rf"ignore:::{library}(\..*)?")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the other model first."""
    items.sort(key=lambda item: item.path.name != "test_vision.py")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service() -> AsyncGenerator[RunningService, None]:
    """The service with demo-chat, float32, and an adapter."""
    model = {"engine": "sglang", "model": CHAT, "engine_args": SMALL, "limits": {"max_running": 8, "max_queued": 4}}
    async with llm_service(
        {"demo-chat": model | {"adapters": {"pirate": str(ADAPTERS / "pirate")}, "adapter_folder": str(ADAPTERS)}}
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def edge(service: RunningService) -> AsyncGenerator[RunningEdge, None]:
    """An edge before it."""
    async with edge_server([service.address]) as running:
        yield running


@pytest.fixture(scope="session")
def sglang(service: RunningService) -> Subject:
    """Its engine alone."""
    return Subject(service.engines["demo-chat"], service.service.models["demo-chat"].details)
