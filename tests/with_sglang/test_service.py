"""Edge, service and the real SGLang: callers who leave, calls that are one too many, a scheduler that dies."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import psutil

from tests.engines.service_suite import ServiceSuite
from tests.support.service import RunningService
from tests.with_sglang.llm import CHAT, SMALL


class TestSGLang(ServiceSuite):
    """SGLang forgets a request when its scheduler has, so an idle engine holds nothing."""

    model: ClassVar[Mapping[str, Any]] = {"engine": "sglang", "model": CHAT, "engine_args": SMALL}

    def sampled(self, service: RunningService) -> float:
        """For the requests that SGLang has."""
        states = service.engines["demo-chat"]._model.sglang.tokenizer_manager.rid_to_state.values()
        return sum(len(state.output_ids) for state in states)

    def victims(self, inside: Sequence[psutil.Process]) -> Sequence[psutil.Process]:
        """The scheduler."""
        (scheduler,) = (each for each in inside if "scheduler" in " ".join(each.cmdline()))
        return [scheduler]
