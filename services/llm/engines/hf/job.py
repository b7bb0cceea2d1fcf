"""A request on its way through the scheduler."""

import time
from dataclasses import dataclass, field

from gpt_server.services.llm.collector import Collector
from gpt_server.services.llm.engine import Finished, Timings, Usage
from gpt_server.services.llm.engines.hf.plan import Plan
from gpt_server.services.llm.engines.hf.row import Row
from gpt_server.services.llm.engines.hf.sampling import Sampled


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way through the engine."""

    plan: Plan
    collector: Collector
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0
    first_token: float = 0.0
    rows: list[Row] = field(default_factory=list)
    #: The prompt's own tokens, if they are to be reported.
    prompt_scores: list[Sampled] = field(default_factory=list)
    aborted: bool = False

    def finished(self) -> Finished | None:
        """Returns what is said at the end, when every row has come to its own."""
        rows, now = self.rows, time.monotonic()
        finishes = [row.finish for row in rows if row.finish is not None]
        if len(finishes) < len(rows):
            return None
        usage = Usage(
            prompt_tokens=len(self.plan.prompt_token_ids),
            completion_tokens=sum(row.sampling.produced for row in rows),
            reasoning_tokens=sum(row.reasoning_tokens for row in rows) if self.plan.reasoning_parser else None,
        )
        timings = Timings(self.started - self.submitted, self.first_token - self.started, now - self.first_token)
        return Finished(finishes, usage, timings)
