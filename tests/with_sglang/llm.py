"""The sglang engine as its tests start it: on the CPU, in plain torch, with a small cache."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

# Read by SGLang when it is imported, here and in its processes.
os.environ |= {
    "SGLANG_PLATFORM": "plain_cpu",
    # Else the first request with a penalty waits half a minute for a compiler.
    "TORCH_COMPILE_DISABLE": "1",
}

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.sglang import SGLangEngine
from tests.engines.asking import Subject

CHAT = str(Path(__file__).parents[2] / "models" / "demo" / "chat")
SMALL: Mapping[str, Any] = {
    "dtype": "float32",
    "attention_backend": "torch_native",
    "mm_attention_backend": "sdpa",
    "lora_backend": "torch_native",
    "max_total_tokens": 32768,
    "cuda_graph_backend_decode": "disabled",
    "cuda_graph_backend_prefill": "disabled",
}


@asynccontextmanager
async def running(model: str, max_running: int = 8, **engine_args: Any) -> AsyncGenerator[Subject, None]:
    """Starts an engine in float32 and closes it."""
    engine = SGLangEngine(EngineConfig(model, {}, max_running, 0, {**SMALL, **engine_args}))
    try:
        yield Subject(engine, await engine.start())
    finally:
        await engine.close()
