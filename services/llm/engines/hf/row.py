"""One choice of a request: its tokens become text and deltas, and the time to stop is found."""

from collections.abc import Sequence

from gpt_server.services.llm.engine import ChoiceFinish, Delta, FinishReason, TokenLogprob, TokenScore
from gpt_server.services.llm.engines.hf.model import LoadedModel
from gpt_server.services.llm.engines.hf.plan import Plan
from gpt_server.services.llm.engines.hf.sampling import Sampled, SamplingState
from gpt_server.services.llm.parsing import REASONING_PARSERS, TOOL_PARSERS, Parsed
from gpt_server.services.llm.text import Detokenizer, StopStrings, Unreleased


class Row:
    """A choice. `finish` is set when it has ended; `last` is the token it goes on from."""

    def __init__(self, model: LoadedModel, plan: Plan, choice: int, sampling: SamplingState) -> None:
        request = plan.request
        self.plan = plan
        self.choice = choice
        self.sampling = sampling
        self.finish: ChoiceFinish | None = None
        self.reasoning_tokens = 0
        self.last = 0
        self._model = model
        self._delta = Delta(choice)
        skip = request.sampling.skip_special_tokens is not False
        self._text = Detokenizer(model.token_bytes.__getitem__, model.special_ids if skip else frozenset())
        self._stops = StopStrings(request.sampling.stop, bool(request.sampling.include_stop_str_in_output))
        self._reasoning = REASONING_PARSERS[plan.reasoning_parser](plan.opened) if plan.reasoning_parser else None
        self._tools = TOOL_PARSERS[plan.tool_parser]() if plan.tool_parser else None
        self._budget = plan.thinking_budget
        self._unreleased: Unreleased[Sampled] = Unreleased()
        self._reports = bool(request.return_token_ids or request.sampling.logprobs)
        self._limit_thinking()

    def take(self) -> Delta | None:
        """Returns what is new, if there is anything."""
        delta = self._delta
        if not (delta.content or delta.reasoning or delta.tool_calls or delta.token_ids or delta.logprobs):
            return None
        self._delta = Delta(self.choice)
        return delta

    def accept(self, sampled: Sampled) -> None:
        """Takes a sampled token in."""
        self.last = sampled.token_id
        self.sampling.accept(sampled.token_id)
        thought = self._thinks()
        if self._is_end(sampled.token_id):
            self._end(sampled)
        else:
            self._push(sampled)
            self._stop_if_due()
        self.reasoning_tokens += thought or self._thinks()
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
        self._stop("stop", stop_token_id=sampled.token_id if asked else None)

    def _stop_if_due(self) -> None:
        chat = self.plan.request.chat
        one_call = chat is not None and chat.parallel_tool_calls is False
        if self._stops.matched is not None:
            self._stop("stop", stop=self._stops.matched)
        elif self.sampling.complete or (one_call and self._tools is not None and self._tools.complete):
            self._stop("stop")
        elif self.sampling.produced >= self.sampling.plan.max_tokens:
            self._stop("length")

    def _stop(self, reason: FinishReason, stop: str | None = None, stop_token_id: int | None = None) -> None:
        if stop is None:
            self._release(self._stops.feed(self._text.flush()) + self._stops.flush())
        self._report(self._unreleased.end(cut=stop is not None))
        if self._reasoning is not None:
            self._add(self._reasoning.flush())
        if self._tools is not None:
            self._append(self._tools.flush())
            if reason == "stop" and self._tools.begun:
                reason = "tool_calls"
        self.finish = ChoiceFinish(self.choice, reason, stop, stop_token_id)

    def _push(self, sampled: Sampled) -> None:
        text = self._text.push(sampled.token_id)
        if self._reports:
            self._unreleased.push(sampled, len(text))
        if self.sampling.produced > self.sampling.plan.min_tokens:
            text = self._stops.feed(text)
        self._release(text)

    def _release(self, text: str) -> None:
        self._report(self._unreleased.release(len(text)))
        if text:
            self._add(self._reasoning.feed(text) if self._reasoning is not None else Parsed(content=text))

    def _add(self, parsed: Parsed) -> None:
        self._delta.reasoning += parsed.reasoning
        if self._tools is not None:
            parsed = self._tools.feed(parsed.content)
        self._append(parsed)

    def _append(self, parsed: Parsed) -> None:
        self._delta.content += parsed.content
        if parsed.tool_calls:
            self._delta.tool_calls = [*self._delta.tool_calls, *parsed.tool_calls]

    def _report(self, released: Sequence[Sampled]) -> None:
        if self.plan.request.return_token_ids:
            self._delta.token_ids = [*self._delta.token_ids, *(sampled.token_id for sampled in released)]
        if self.sampling.plan.logprobs is not None:
            self._delta.logprobs = [
                *self._delta.logprobs,
                *(token_logprob(self._model, sampled) for sampled in released),
            ]

    def _thinks(self) -> bool:
        return self._reasoning is not None and self._reasoning.thinking

    def _limit_thinking(self) -> None:
        if self._budget is not None and self._thinks() and self.reasoning_tokens >= self._budget:
            self.sampling.forced = list(self.plan.end_thinking)
            self._budget = None


def token_logprob(model: LoadedModel, sampled: Sampled) -> TokenLogprob:
    """Returns what is reported of a token."""

    def score(token_id: int, logprob: float) -> TokenScore:
        text = model.token_bytes[token_id]
        return TokenScore(token_id, logprob, text.decode(errors="replace"), text)

    return TokenLogprob(score(sampled.token_id, sampled.logprob), [score(*each) for each in sampled.top])
