"""The demo stack as `make run` starts it: the real edge, the hf engine and the demo chat model."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.stack import RunningStack, stack

LIMIT_S = 240.0  # only so that a failure ends


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningStack]:
    """`gpt-server up` without a configuration, on a free port; one for all tests."""
    state: Path = tmp_path_factory.mktemp("demo")
    async with stack(state, "--port", "0") as running:
        yield running


def service_address(running: RunningStack) -> str:
    """Returns the gRPC address of the demo's LLM service."""
    return str(running.children()["demo-chat-0"]["grpc"])


async def output_of(*command: str) -> str:
    """Runs a program to its end and returns what it printed. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    reading = asyncio.create_task(process.communicate())
    if not (await asyncio.wait([reading], timeout=LIMIT_S))[0]:
        process.kill()
    printed, _ = await reading
    assert process.returncode == 0, f"it has ended with {process.returncode}: {printed.decode()}"
    return printed.decode()
