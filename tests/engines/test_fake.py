"""The fake engine passes the suite, as far as an engine without a model can; and the suite can fail."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
import pytest_asyncio

from gpt_server.services.llm.engine import EngineConfig, GenerateRequest, Output, Prepared
from gpt_server.services.llm.engines.fake import FakeEngine
from tests.engines.abilities import ABILITIES
from tests.engines.asking import Subject, greedy, request
from tests.engines.llm_suite import LLMSuite

CONFIG = EngineConfig("none", max_running=4)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def subject() -> AsyncGenerator[Subject, None]:
    engine = FakeEngine(CONFIG)
    yield Subject(engine, await engine.start())
    await engine.close()


class TestFake(LLMSuite):
    refuses, harmless = ABILITIES["fake"].refuses, ABILITIES["fake"].harmless

    def check_call(self, name: str, arguments: str) -> None:
        """Calls that no script asks for have no arguments here."""
        assert (name, arguments) == ("get_weather", "{}")

    def long_prefill(self, subject: Subject) -> GenerateRequest:
        return request(template_args_json=json.dumps({"fake": {"prefill_s": 3600}}))


class LosesText(FakeEngine):
    """Drops every third output that is not the last."""

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        async with aclosing(super().generate(prepared)) as outputs:
            number = 0
            async for output in outputs:
                number += 1
                if number % 3 or output.finished:
                    yield output


class HoldsOn(FakeEngine):
    """Does not notice that its reader has left."""

    def running(self) -> int:
        return super().running() + self.steps


async def test_the_suite_finds_lost_text() -> None:
    engine = LosesText(CONFIG)
    broken = Subject(engine, await engine.start())
    with pytest.raises(AssertionError):
        await TestFake().test_max_tokens(broken)
    with pytest.raises(AssertionError):
        await TestFake().test_stop_strings(broken)


async def test_the_suite_finds_a_sequence_that_is_not_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.engines.asking.PATIENCE_S", 0.05)
    engine = HoldsOn(CONFIG)
    broken = Subject(engine, await engine.start())
    stream = engine.generate(await engine.prepare(request(sampling=greedy(3))))
    await anext(stream)
    await stream.aclose()
    with pytest.raises(TimeoutError):
        await TestFake().test_abort_during_prefill(broken)
