"""One request: LMDeploy's tokens become outputs, the last of which says how it ended and what it took."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lmdeploy.messages import EngineOutput, ResponseType

from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import ChoiceFinish, Finished, Output, Timings, TokenLogprob, Usage
from gpt_server.services.llm.engines.lmdeploy import sampling
from gpt_server.services.llm.engines.lmdeploy.embedded import Embedded
from gpt_server.services.llm.engines.lmdeploy.prompts import Plan
from gpt_server.services.llm.vocabulary import Vocabulary


class _Row:
    """A choice, and what is counted of it. `finish` is set when it has ended."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.finish: ChoiceFinish | None = None
        self.sampled = self.reasoning_tokens = 0


class Stream:
    """Runs a request in the engine's thread.

    Args:
        plan: the request.
        choices: what its choices are read with.
        vocabulary: the model's tokens.
        deliver: takes what is new.
    """

    def __init__(
        self, plan: Plan, choices: Sequence[Choice], vocabulary: Vocabulary, deliver: Callable[[Output], None]
    ) -> None:
        self._plan = plan
        self._vocabulary = vocabulary
        self._deliver = deliver
        self._rows = [_Row(choice) for choice in choices]
        self._cached_tokens: int | None = None
        self._prompt_logprobs: Sequence[TokenLogprob] = ()
        self._began_s = time.monotonic()
        self._first_s: float | None = None

    async def run(self, embedded: Embedded) -> None:
        """Runs all choices, each as a sequence of its own: LMDeploy has no others.

        Raises:
            EngineUnavailable: the engine has given one up.
        """
        plan, adapter = self._plan, self._plan.request.adapter
        if (alternatives := plan.request.sampling.prompt_logprobs) is not None:
            # To score a prompt takes a sequence that samples nothing.
            await embedded.infer(dict(plan.inputs), sampling.scoring(alternatives), adapter, self._take_prompt)
        async with asyncio.TaskGroup() as group:
            for number, options in enumerate(plan.options):
                take = partial(self._take, self._rows[number])
                group.create_task(embedded.infer(dict(plan.inputs), options, adapter, take))

    def _take(self, row: _Row, output: EngineOutput) -> bool:
        """Delivers what is new of a choice, and returns whether it is to end with it."""
        self._first_s = self._first_s or time.monotonic()
        if self._cached_tokens is None and output.req_metrics is not None:
            self._cached_tokens = output.req_metrics.cached_tokens
        self._accept(row, output)
        new = Output([delta for delta in (row.choice.take(),) if delta], None, self._prompt_logprobs)
        self._prompt_logprobs = ()
        if all(each.finish is not None for each in self._rows):
            new.finished = self._finished()
        if new.deltas or new.finished or new.prompt_logprobs:
            self._deliver(new)
        return row.finish is not None and output.status is not ResponseType.FINISH

    def _accept(self, row: _Row, output: EngineOutput) -> None:
        asks = self._plan.request.sampling
        last, asked = output.status is ResponseType.FINISH, None
        ends = bool(last and output.token_ids and output.token_ids[-1] in self._plan.end_ids)
        for at, token in enumerate(output.token_ids):
            row.sampled += 1
            thought = row.choice.thinking
            is_end = ends and at == len(output.token_ids) - 1
            asked = token if is_end and token in asks.stop_token_ids else None
            if not is_end or (asked is not None and asks.include_stop_str_in_output):
                row.choice.push(token, self._logprob(output, at), row.sampled > (asks.min_tokens or 0))
            row.reasoning_tokens += thought or row.choice.thinking
            if row.choice.stop is not None or row.choice.called_enough:
                row.finish = row.choice.end("stop")
                return
        if last:
            row.finish = row.choice.end("stop" if ends else "length", asked)

    def _logprob(self, output: EngineOutput, at: int) -> TokenLogprob | None:
        asks = self._plan.request.sampling
        if not asks.logprobs or output.logprobs is None:
            return None
        return self._scored(output.token_ids[at], output.logprobs[at], asks.top_logprobs or 0)

    def _take_prompt(self, output: EngineOutput) -> bool:
        first, *others = self._plan.prompt_token_ids
        alternatives = self._plan.request.sampling.prompt_logprobs or 0
        scores = [self._scored(*one, alternatives) for one in zip(others, output.logprobs or (), strict=True)]
        self._prompt_logprobs = [self._vocabulary.certain(first), *scores]
        return False

    def _scored(self, token: int, scores: Mapping[int, float], alternatives: int) -> TokenLogprob:
        likeliest = sorted(scores.items(), key=lambda one: -one[1])[:alternatives]
        return self._vocabulary.scored(token, scores[token], likeliest)

    def _finished(self) -> Finished:
        ended_s = time.monotonic()
        first_s = self._first_s or ended_s
        usage = Usage(
            prompt_tokens=len(self._plan.prompt_token_ids),
            completion_tokens=sum(row.sampled for row in self._rows),
            cached_tokens=self._cached_tokens,
            reasoning_tokens=sum(row.reasoning_tokens for row in self._rows) if self._plan.reasons else None,
        )
        timings = Timings(prefill_s=first_s - self._began_s, decode_s=ended_s - first_s)
        return Finished([row.finish for row in self._rows if row.finish], usage, timings)
