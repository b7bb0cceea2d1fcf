"""Edge, service and an engine whose library can die apart from the service: callers who leave, calls that are one too
many, a library that dies.

Uses the fixtures `service`, with `demo-chat`, eight requests at a time and four in the queue, and `edge` before it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gpt_server.llm.v1 import llm_service_pb2, llm_service_pb2_grpc, sampling_pb2
from gpt_server.services.llm.engine import LLMEngine
from tests.engines.asking import busy, idle
from tests.services.asking import Refusal, Stub, chat, rest
from tests.services.test_process import running
from tests.support.edge import RunningEdge
from tests.support.raw import events_of, raw_post
from tests.support.service import RunningService
from tests.support.stack import gone

LIMIT_S = 360.0  # only so that a failure ends
LONG = "word " * 600
"""A prompt that takes several steps of the model."""


def body(says: str = "Count for me.", **fields: Any) -> dict[str, Any]:
    """A chat request that would go on until it is told to stop."""
    endless = {"temperature": 0, "max_tokens": 1500, "ignore_eos": True}
    return {"model": "demo-chat", "messages": [{"role": "user", "content": says}]} | endless | fields


def generate(says: str = "Count for me.") -> llm_service_pb2.GenerateRequest:
    """The same, for a gRPC client."""
    sampling = sampling_pb2.Sampling(temperature=0, max_tokens=1500, ignore_eos=True)
    return llm_service_pb2.GenerateRequest(model="demo-chat", chat=chat(says), sampling=sampling)


async def _hold(service: RunningService) -> None:
    async with grpc.aio.insecure_channel(service.address) as channel:
        async for _ in llm_service_pb2_grpc.LLMServiceStub(channel).Generate(generate()):
            pass


@pytest.mark.asyncio(loop_scope="session")
class ServiceSuite:
    """Checks of the three together.

    Attributes:
        model: the model's settings, for a process of its own.
    """

    model: ClassVar[Mapping[str, Any]]

    def sampled(self, service: RunningService) -> float:
        """Returns a number of tokens that grows while the library samples."""
        raise NotImplementedError

    def end_library(self, service: psutil.Process) -> None:
        """Ends what the library computes with."""
        for victim in self.victims(service.children(recursive=True)):
            victim.kill()

    def victims(self, inside: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
        """Returns which of the service's children are killed."""
        raise NotImplementedError

    async def check_alone(self, engine: LLMEngine) -> None:
        """Checks that the library computes nothing more than it is asked for next."""

    async def _all_freed(self, service: RunningService) -> None:
        """Returns when neither service nor engine holds anything."""
        engine, admission = service.engines["demo-chat"], service.admissions["demo-chat"]
        async with asyncio.timeout(LIMIT_S):
            await admission.changes.until(lambda: admission.running == admission.queued == 0)
            await idle(engine)
            await self.check_alone(engine)

    @pytest.mark.parametrize("way", ["stream", "whole", "grpc"])
    @pytest.mark.parametrize("phase", ["queued", "prefill", "decode"])
    async def test_a_caller_who_leaves(self, service: RunningService, edge: RunningEdge, phase: str, way: str) -> None:
        engine, admission = service.engines["demo-chat"], service.admissions["demo-chat"]
        await idle(engine)
        crowd = [asyncio.ensure_future(_hold(service)) for _ in range(8 if phase == "queued" else 0)]
        if crowd:
            await busy(engine, 8)
        leaver = asyncio.ensure_future(
            self._leave(service, edge, LONG if phase == "prefill" else "Count for me.", way, phase)
        )
        async with asyncio.timeout(LIMIT_S):
            await leaver
            if phase == "queued":
                await admission.changes.until(lambda: admission.queued == 0)
                assert admission.running == 8
        for held in crowd:
            held.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        await self._all_freed(service)

    async def _leave(self, service: RunningService, edge: RunningEdge, says: str, way: str, phase: str) -> None:
        """Asks, waits until the request is where it should be, and goes without a word."""
        admission, engine = service.admissions["demo-chat"], service.engines["demo-chat"]

        async def arrived() -> None:
            if phase == "queued":
                await admission.changes.until(lambda: admission.queued == 1)
            else:
                await busy(engine)
            if phase == "decode":
                before = self.sampled(service)
                while self.sampled(service) < before + 3:
                    await asyncio.sleep(0.002)

        if way == "grpc":
            async with grpc.aio.insecure_channel(service.address) as channel:
                llm: Stub = llm_service_pb2_grpc.LLMServiceStub(channel)
                call = llm.Generate(generate(says))
                assert (await call.read()).HasField("started")
                await arrived()
                call.cancel()
        else:
            stream = way == "stream"
            async with raw_post(edge.url, "/v1/chat/completions", body(says, stream=stream), read_head=False) as answer:
                await arrived()
                answer.leave()

    async def test_one_too_many_is_refused_and_told_when_to_come_back(
        self, service: RunningService, edge: RunningEdge
    ) -> None:
        admission = service.admissions["demo-chat"]
        held = [asyncio.ensure_future(_hold(service)) for _ in range(12)]
        await asyncio.wait_for(
            admission.changes.until(lambda: (admission.running, admission.queued) == (8, 4)), LIMIT_S
        )
        async with raw_post(edge.url, "/v1/chat/completions", body()) as answer:
            error = (await answer.read_json())["error"]
        assert (answer.status, error["code"]) == (429, "overloaded")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        await self._all_freed(service)

    async def test_errors_name_openai_s_parameters(self, edge: RunningEdge) -> None:
        wrong: dict[str, tuple[dict[str, Any], str]] = {
            "regex": ({"structured_outputs": {"regex": "(a"}}, "structured_outputs"),
            "tools": (
                {
                    "tools": [
                        {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "no"}}}
                    ]
                },
                "tools[0].function.parameters",
            ),
            "bias": ({"logit_bias": {"4711": 1}}, "logit_bias"),
            "context": ({"max_tokens": 5000}, ""),
        }
        for fields, param in wrong.values():
            async with raw_post(edge.url, "/v1/chat/completions", body(**fields)) as answer:
                error = (await answer.read_json())["error"]
            assert answer.status == 400, error
            assert (error["param"] or "") == param

    async def test_prompts_that_were_seen_before_count_as_cached(self, edge: RunningEdge) -> None:
        usages = []
        for _ in range(2):
            async with raw_post(edge.url, "/v1/chat/completions", body("tell me " * 50, max_tokens=1)) as answer:
                usages.append((await answer.read_json())["usage"])
        assert usages[1]["prompt_tokens_details"]["cached_tokens"] >= 64
        salted = body("tell me " * 50, max_tokens=1, cache_salt="mine alone")
        async with raw_post(edge.url, "/v1/chat/completions", salted) as answer:
            usage = (await answer.read_json())["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0

    async def test_a_library_that_dies_takes_the_process_with_it(self, tmp_path: Path) -> None:
        """Running calls fail with their reason, health says so, and the supervisor sees the exit code."""
        async with running(tmp_path, models={"demo-chat": self.model}) as (child, announced):
            assert child.stderr is not None
            reading = asyncio.create_task(child.stderr.read())  # a full pipe would hold the process
            async with asyncio.timeout(LIMIT_S), grpc.aio.insecure_channel(announced["grpc"]) as channel:
                health = health_pb2_grpc.HealthStub(channel).Watch(
                    health_pb2.HealthCheckRequest(service="gpt_server.llm.v1.LLMService")
                )
                states = aiter(health)
                while (await anext(states)).status != health_pb2.HealthCheckResponse.SERVING:
                    pass
                llm: Stub = llm_service_pb2_grpc.LLMServiceStub(channel)
                call = llm.Generate(generate())
                while not (await call.read()).deltas:
                    pass
                inside = psutil.Process(child.pid).children(recursive=True)
                self.end_library(psutil.Process(child.pid))
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await rest(call)
                assert Refusal(failed.value).reason == "ENGINE_UNAVAILABLE"
                assert (await anext(states)).status == health_pb2.HealthCheckResponse.NOT_SERVING
                assert await child.wait() == 4
            assert b"the engine of model demo-chat has died" in await reading
            for each in inside:
                await gone(each.pid)

    async def test_a_stream_through_the_edge(self, edge: RunningEdge) -> None:
        async with raw_post(edge.url, "/v1/chat/completions", body("Hello!", stream=True, max_tokens=20)) as answer:
            events = events_of(await answer.read_all())
        assert answer.complete
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert events[-1]["choices"][0]["finish_reason"] == "length"
