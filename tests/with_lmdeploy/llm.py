"""The lmdeploy engine as its tests start it: on the CPU, in plain torch (`platform`), with a small cache."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.lmdeploy import LMDeployEngine
from tests.engines.asking import Subject

CHAT = str(Path(__file__).parents[2] / "models" / "demo" / "chat")
SMALL: Mapping[str, Any] = {
    "dtype": "float32",
    "eager_mode": True,
    "num_gpu_blocks": 512,
    "distributed_executor_backend": "uni",
    "enable_prefix_caching": True,
}


@asynccontextmanager
async def running(model: str, max_running: int = 8, **engine_args: Any) -> AsyncGenerator[Subject, None]:
    """Starts an engine in float32 and closes it."""
    engine = LMDeployEngine(EngineConfig(model, {}, max_running, 0, {**SMALL, **engine_args}))
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()
