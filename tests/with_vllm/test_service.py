"""Edge, service and the real vLLM: callers who leave, calls that are one too many, a core that dies."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import psutil
from prometheus_client import REGISTRY

from gpt_server.services.llm.engine import LLMEngine
from tests.engines.asking import idle, request
from tests.engines.service_suite import ServiceSuite
from tests.support.service import RunningService
from tests.with_vllm.llm import CHAT, SMALL


class TestVLLM(ServiceSuite):
    model: ClassVar[Mapping[str, Any]] = {"engine": "vllm", "model": CHAT, "engine_args": SMALL}

    def sampled(self, service: RunningService) -> float:
        """As vLLM's own metrics say."""
        (family,) = (each for each in REGISTRY.collect() if each.name == "vllm:generation_tokens")
        return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))

    def victims(self, inside: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
        """All of them."""
        assert inside
        return inside

    async def check_alone(self, engine: LLMEngine) -> None:
        """What vLLM's core computed in its last step, as its own metrics say, is one request."""
        prepared = await engine.prepare(request())
        async with aclosing(engine.generate(prepared)) as outputs:
            await anext(outputs)
            (family,) = (each for each in REGISTRY.collect() if each.name == "vllm:num_requests_running")
            assert sum(sample.value for sample in family.samples) == 1
        await idle(engine)
