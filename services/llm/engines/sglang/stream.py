"""One request: SGLang's tokens become outputs, the last of which says how it ended and what it took."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from gpt_server.services.common.errors import EngineUnavailable, InvalidField
from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import ChoiceFinish, Finished, Output, Timings, TokenLogprob, Usage
from gpt_server.services.llm.engines.sglang.prompts import Plan
from gpt_server.services.llm.vocabulary import Vocabulary


class _Row:
    """A choice, and what is counted of it. `finish` is set when it has ended."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.finish: ChoiceFinish | None = None
        self.sampled = self.reasoning_tokens = 0

    def ended(self) -> bool:
        """Whether it has."""
        return self.finish is not None


class Stream:
    """Turns results into outputs.

    Args:
        plan: the request.
        choices: what its choices are read with.
        vocabulary: the model's tokens.
        eos_token_ids: those that end a text.
    """

    def __init__(
        self, plan: Plan, choices: Sequence[Choice], vocabulary: Vocabulary, eos_token_ids: Sequence[int]
    ) -> None:
        self._plan = plan
        self._vocabulary = vocabulary
        self._eos = frozenset(eos_token_ids)
        self._rows = [_Row(choice) for choice in choices]
        self._cached_tokens: int | None = None
        self._told_of_prompt = plan.request.sampling.prompt_logprobs is None
        self._began_s = time.monotonic()
        self._first_s: float | None = None

    def take(self, result: dict[str, Any]) -> tuple[Output | None, bool]:
        """Returns what is new in a result (`None`: nothing that can be told), and whether SGLang is to stop with it."""
        number, meta = result.get("index", 0), result["meta_info"]
        row = self._rows[number]
        if row.ended():  # SGLang has not heard yet that it is to stop
            return None, False
        self._first_s = self._first_s or time.monotonic()
        if self._cached_tokens is None:
            self._cached_tokens = meta.get("cached_tokens")
        self._accept(row, result["output_ids"], meta)
        output = Output([delta for delta in (row.choice.take(),) if delta])
        if not self._told_of_prompt:
            self._told_of_prompt = True
            output.prompt_logprobs = self._prompt_logprobs(meta)
        if all(each.finish is not None for each in self._rows):
            output.finished = self._finished()
        told = output.deltas or output.prompt_logprobs or output.finished
        return output if told else None, row.ended() and meta["finish_reason"] is None

    def _accept(self, row: _Row, token_ids: Sequence[int], meta: dict[str, Any]) -> None:
        said, sampling = meta["finish_reason"], self._plan.request.sampling
        for at, token in enumerate(token_ids):
            ends = said is not None and said["type"] == "stop" and at == len(token_ids) - 1
            row.sampled += 1
            may_stop = row.sampled > (sampling.min_tokens or 0)
            # With `ignore_eos` SGLang does not look for these either.
            asked = may_stop and token in sampling.stop_token_ids
            thought = row.choice.thinking
            if sampling.include_stop_str_in_output if asked else not (ends and token in self._eos):
                row.choice.push(token, self._logprob(meta, at), may_stop)
            row.reasoning_tokens += thought or row.choice.thinking
            if asked or row.choice.stop is not None or row.choice.called_enough:
                row.finish = row.choice.end("stop", token if asked else None)
                return
        if said is not None:
            row.finish = self._end(row, said)

    def _end(self, row: _Row, said: dict[str, Any]) -> ChoiceFinish:
        if said["type"] not in ("stop", "length"):
            message = said.get("message", said["type"])
            if said.get("status_code") == HTTPStatus.BAD_REQUEST:
                raise InvalidField("sampling", message)
            raise EngineUnavailable(f"SGLang gave the request up: {message}")
        return row.choice.end(said["type"])

    def _logprob(self, meta: dict[str, Any], at: int) -> TokenLogprob | None:
        if not self._plan.request.sampling.logprobs:
            return None
        logprob, token, _ = meta["output_token_logprobs"][at]
        top = self._plan.request.sampling.top_logprobs or 0
        likeliest = meta["output_top_logprobs"][at][:top] if top else ()
        return self._vocabulary.scored(token, logprob, [(one, value) for value, one, _ in likeliest])

    def _prompt_logprobs(self, meta: dict[str, Any]) -> Sequence[TokenLogprob]:
        top = self._plan.request.sampling.prompt_logprobs or 0
        tokens = self._plan.prompt_token_ids  # SGLang reports the last one of the vocabulary as the first
        scores = meta["input_token_logprobs"]
        tops = meta["input_top_logprobs"] if top else [()] * len(scores)
        said = [
            self._vocabulary.scored(token, logprob, [(one, value) for value, one, _ in likeliest[:top]])
            for token, (logprob, _, _), likeliest in list(zip(tokens, scores, tops, strict=True))[1:]
        ]
        return [self._vocabulary.certain(tokens[0]), *said]

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
