"""The vllm engine as its tests start it: without compilation, and with a small cache."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.vllm import VLLMEngine
from tests.engines.asking import Subject

CHAT = str(Path(__file__).parents[2] / "models" / "demo" / "chat")
SMALL: Mapping[str, Any] = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 1 << 28}


@asynccontextmanager
async def running(
    model: str = CHAT,
    max_running: int = 8,
    adapters: Mapping[str, str] | None = None,
    adapter_folder: Path | None = None,
    **engine_args: Any,
) -> AsyncGenerator[Subject, None]:
    """Starts an engine in float32 and closes it."""
    engine = VLLMEngine(EngineConfig(model, adapters or {}, max_running, 0, {**SMALL, **engine_args}, adapter_folder))
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()
