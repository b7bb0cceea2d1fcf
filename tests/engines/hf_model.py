"""The model that the tests of the hf engine run."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.hf import HFEngine
from tests.engines.asking import Subject

MODEL = str(Path(__file__).parents[2] / "models" / "demo" / "chat")


@asynccontextmanager
async def running(
    max_running: int = 8, adapters: Mapping[str, str] | None = None, model: str = MODEL, **engine_args: Any
) -> AsyncGenerator[Subject, None]:
    """Starts an engine in float32 and closes it."""
    config = EngineConfig(model, adapters or {}, max_running, engine_args={"dtype": "float32"} | engine_args)
    engine = HFEngine(config)
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()
