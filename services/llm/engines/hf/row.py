"""One choice of a request as the scheduler sees it: what it samples from, and the time to stop."""

from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import ChoiceFinish, Delta, FinishReason, TokenLogprob, TokenScore
from gpt_server.services.llm.engines.hf.model import LoadedModel
from gpt_server.services.llm.engines.hf.plan import Plan
from gpt_server.services.llm.engines.hf.sampling import Sampled, SamplingState
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS
from gpt_server.services.llm.text import Detokenizer


class Row:
    """A choice. `finish` is set when it has ended; `last` is the token it goes on from."""

    def __init__(self, model: LoadedModel, plan: Plan, choice: int, sampling: SamplingState) -> None:
        self.plan = plan
        self.sampling = sampling
        self.finish: ChoiceFinish | None = None
        self.reasoning_tokens = 0
        self.last = 0
        self._model = model
        skip = plan.request.sampling.skip_special_tokens is not False
        self._choice = Choice(
            choice,
            plan.request,
            Detokenizer(model.token_bytes.__getitem__, model.special_ids if skip else frozenset()),
            REASONING_PARSERS[plan.reasoning_parser](plan.opened) if plan.reasoning_parser else None,
            TOOL_PARSERS[plan.tool_parser]() if plan.tool_parser else None,
        )
        self._budget = plan.thinking_budget
        self._limit_thinking()

    def take(self) -> Delta | None:
        """Returns what is new, if there is anything."""
        return self._choice.take()

    def accept(self, sampled: Sampled) -> None:
        """Takes a sampled token in."""
        self.last = sampled.token_id
        self.sampling.accept(sampled.token_id)
        thought = self._choice.thinking
        if self._is_end(sampled.token_id):
            self._end(sampled)
        else:
            self._push(sampled)
            self._stop_if_due()
        self.reasoning_tokens += thought or self._choice.thinking
        self._limit_thinking()

    def _is_end(self, token_id: int) -> bool:
        # Behind a complete grammar there is nothing but the end, even when it is to be ignored.
        complete = self.sampling.complete and token_id in self._model.details.eos_token_ids
        return complete or token_id in self.sampling.plan.end_ids

    def _end(self, sampled: Sampled) -> None:
        request = self.plan.request.sampling
        asked = sampled.token_id in request.stop_token_ids
        if asked and request.include_stop_str_in_output:
            self._push(sampled)
        self._stop("stop", sampled.token_id if asked else None)

    def _push(self, sampled: Sampled) -> None:
        logprob = token_logprob(self._model, sampled) if self.sampling.plan.logprobs is not None else None
        self._choice.push(sampled.token_id, logprob, self.sampling.produced > self.sampling.plan.min_tokens)

    def _stop_if_due(self) -> None:
        if self._choice.stop is not None or self.sampling.complete or self._choice.called_enough:
            self._stop("stop")
        elif self.sampling.produced >= self.sampling.plan.max_tokens:
            self._stop("length")

    def _stop(self, reason: FinishReason, stop_token_id: int | None = None) -> None:
        self.finish = self._choice.end(reason, stop_token_id)

    def _limit_thinking(self) -> None:
        if self._budget is not None and self._choice.thinking and self.reasoning_tokens >= self._budget:
            self.sampling.forced = list(self.plan.end_thinking)
            self._budget = None


def token_logprob(model: LoadedModel, sampled: Sampled) -> TokenLogprob:
    """Returns what is reported of a token."""

    def score(token_id: int, logprob: float) -> TokenScore:
        text = model.token_bytes[token_id]
        return TokenScore(token_id, logprob, text.decode(errors="replace"), text)

    return TokenLogprob(score(sampled.token_id, sampled.logprob), [score(*each) for each in sampled.top])
