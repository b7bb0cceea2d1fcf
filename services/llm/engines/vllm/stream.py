"""One request: vLLM's stream of results becomes outputs, the last of which says how it ended and what it took."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from gpt_server.services.llm.engine import (
    Finished,
    Output,
    Timings,
    TokenLogprob,
    Usage,
)
from gpt_server.services.llm.engines.vllm.choice import Choice, scored
from gpt_server.services.llm.engines.vllm.prompts import Plan
from gpt_server.services.llm.vocabulary import Vocabulary


class Stream:
    """Turns results into outputs.

    Args:
        plan: the request.
        parser: makes a parser for one choice, or returns `None`.
        vocabulary: the model's tokens.
        thinks: whether the model's reasoning is told from its answer.
    """

    def __init__(self, plan: Plan, parser: Callable[[Plan], Any], vocabulary: Vocabulary, thinks: bool) -> None:
        self._plan = plan
        self._thinks = thinks and plan.chat_request is not None
        self._vocabulary = vocabulary
        self._cached_tokens: int | None = None
        self._timings = Timings()
        numbers = range(plan.request.sampling.n or 1)
        self._choices = [Choice(plan, number, parser(plan), vocabulary) for number in numbers]
        self._told_of_prompt = plan.request.sampling.prompt_logprobs is None

    def take(self, result: Any) -> Output | None:
        """Returns what is new in a result; `None`: nothing that can be told."""
        pieces = ((choice, piece) for piece in result.outputs for choice in self._choices_of(piece))
        output = Output([delta for choice, piece in pieces if (delta := choice.take(piece))])
        if self._cached_tokens is None:
            self._cached_tokens = result.num_cached_tokens
        if not self._told_of_prompt and result.prompt_logprobs:
            self._told_of_prompt = True
            output.prompt_logprobs = self._prompt_logprobs(result.prompt_logprobs)
        if result.metrics is not None:
            self._timings = _timings(result.metrics)
        if result.finished:
            output.finished = self._finished()
        return output if output.deltas or output.prompt_logprobs or output.finished else None

    def _choices_of(self, piece: Any) -> Sequence[Choice]:
        return self._choices if self._plan.alike else self._choices[piece.index : piece.index + 1]

    def _prompt_logprobs(self, found: Sequence[Any]) -> Sequence[TokenLogprob]:
        top = self._plan.request.sampling.prompt_logprobs or 0
        first, *rest = zip(self._plan.prompt_token_ids, found, strict=True)
        said = (scored(self._vocabulary, token, scores, top) for token, scores in rest)
        return [self._vocabulary.certain(first[0]), *said]

    def _finished(self) -> Finished:
        usage = Usage(
            prompt_tokens=len(self._plan.prompt_token_ids),
            completion_tokens=sum(choice.sampled for choice in self._choices),
            cached_tokens=self._cached_tokens,
            reasoning_tokens=sum(choice.reasoning_tokens for choice in self._choices) if self._thinks else None,
        )
        return Finished([choice.finish for choice in self._choices if choice.finish], usage, self._timings)


def _timings(stats: Any) -> Timings:
    """Seconds between vLLM's own marks; those that it has not set yet count nothing."""
    marks = (stats.queued_ts, stats.scheduled_ts, stats.first_token_ts, stats.last_token_ts)
    return Timings(*(max(0.0, after - before) if before and after else 0.0 for before, after in pairwise(marks)))
