"""Edge, service and the real LMDeploy: callers who leave, calls that are one too many, an engine that fails."""

import signal
from collections.abc import Mapping
from typing import Any, ClassVar

import psutil

from tests.engines.service_suite import ServiceSuite, body
from tests.support.edge import RunningEdge
from tests.support.raw import raw_post
from tests.support.service import RunningService
from tests.with_lmdeploy.llm import CHAT, SMALL


class TestLMDeploy(ServiceSuite):
    """LMDeploy computes in the service's process."""

    model: ClassVar[Mapping[str, Any]] = {"engine": "lmdeploy", "model": CHAT, "engine_args": SMALL}

    def sampled(self, service: RunningService) -> float:
        """For the sequences that LMDeploy has."""
        scheduler = service.engines["demo-chat"]._model.embedded.engine.engine.scheduler
        sessions = list(scheduler.sessions.values())
        return float(
            sum(sequence.num_new_tokens for session in sessions for sequence in list(session.sequences.values()))
        )

    def end_library(self, service: psutil.Process) -> None:
        """Its device fails from now on, see `platform`."""
        service.send_signal(signal.SIGUSR1)

    async def test_prompts_that_were_seen_before_count_as_cached(self, edge: RunningEdge) -> None:
        """For all who ask: there is no salt."""
        usages = []
        for _ in range(2):
            async with raw_post(edge.url, "/v1/chat/completions", body("tell me " * 50, max_tokens=1)) as answer:
                usages.append((await answer.read_json())["usage"])
        assert usages[1]["prompt_tokens_details"]["cached_tokens"] >= 64
        async with raw_post(edge.url, "/v1/chat/completions", body(cache_salt="mine alone")) as answer:
            error = (await answer.read_json())["error"]
        assert (answer.status, error["code"], error["param"]) == (400, "unsupported_parameter", "cache_salt")
