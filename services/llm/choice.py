"""One choice: its tokens become text and deltas, through stop strings and parsers.

For engines whose library hands over tokens. When to stop is theirs to say, but for stop strings, which are found here.
"""

from collections.abc import Sequence
from typing import Protocol

from gpt_server.services.llm.engine import ChoiceFinish, Delta, FinishReason, GenerateRequest, TokenLogprob
from gpt_server.services.llm.parsing import Parsed
from gpt_server.services.llm.text import Detokenizer, StopStrings, Unreleased

Token = tuple[int, TokenLogprob | None]


class Parser(Protocol):
    """Takes text in any pieces, and returns what it turned out to be."""

    def feed(self, text: str) -> Parsed:
        """Returns what is new."""

    def flush(self) -> Parsed:
        """Returns what was held back, at the end of the text."""


class ReasoningReader(Parser, Protocol):
    """Tells reasoning from the answer."""

    @property
    def thinking(self) -> bool:
        """Whether the text that comes next is reasoning, as far as can be told."""


class CallReader(Parser, Protocol):
    """Finds tool calls. `begun` of them have begun, `complete` of them have ended."""

    @property
    def begun(self) -> int: ...

    @property
    def complete(self) -> int: ...


class Choice:
    """A choice.

    Args:
        number: of the choice in its request.
        request: says what is reported, and which strings end the text.
        text: turns tokens into text.
        reasoning: tells reasoning from the answer; `None`: there is none.
        calls: finds tool calls in the answer; `None`: there are none.
    """

    def __init__(
        self,
        number: int,
        request: GenerateRequest,
        text: Detokenizer,
        reasoning: ReasoningReader | None = None,
        calls: CallReader | None = None,
    ) -> None:
        self._number = number
        self._delta = Delta(number)
        self._text = text
        self._reasoning = reasoning
        self._calls = calls
        self._stops = StopStrings(request.sampling.stop, bool(request.sampling.include_stop_str_in_output))
        self._one_call = request.chat is not None and request.chat.parallel_tool_calls is False
        self._reports_ids = bool(request.return_token_ids)
        self._reports_logprobs = bool(request.sampling.logprobs)
        self._unreleased: Unreleased[Token] = Unreleased()

    @property
    def stop(self) -> str | None:
        """The stop string that has come, if one has."""
        return self._stops.matched

    @property
    def thinking(self) -> bool:
        """Whether the text that comes next is reasoning."""
        return self._reasoning is not None and self._reasoning.thinking

    @property
    def called_enough(self) -> bool:
        """Whether the one call has come that the request allows."""
        return self._one_call and self._calls is not None and self._calls.complete > 0

    def push(self, token_id: int, logprob: TokenLogprob | None = None, stops: bool = True) -> None:
        """Takes a token in that is part of the output. `stops`: a stop string may end with it."""
        text = self._text.push(token_id)
        if self._reports_ids or self._reports_logprobs:
            self._unreleased.push((token_id, logprob), len(text))
        self._release(self._stops.feed(text) if stops else text)

    def end(self, reason: FinishReason, stop_token_id: int | None = None) -> ChoiceFinish:
        """Releases what was held back, and returns how the choice has ended."""
        stop = self.stop
        if stop is None:
            self._release(self._stops.feed(self._text.flush()) + self._stops.flush())
        self._report(self._unreleased.end(cut=stop is not None))
        if self._reasoning is not None:
            self._add(self._reasoning.flush())
        if self._calls is not None:
            self._append(self._calls.flush())
            if reason == "stop" and self._calls.begun:
                reason = "tool_calls"
        return ChoiceFinish(self._number, reason, stop, stop_token_id)

    def take(self) -> Delta | None:
        """Returns what is new, if there is anything."""
        delta = self._delta
        if not (delta.content or delta.reasoning or delta.tool_calls or delta.token_ids or delta.logprobs):
            return None
        self._delta = Delta(self._number)
        return delta

    def _release(self, text: str) -> None:
        self._report(self._unreleased.release(len(text)))
        if text:
            self._add(self._reasoning.feed(text) if self._reasoning is not None else Parsed(content=text))

    def _add(self, parsed: Parsed) -> None:
        self._delta.reasoning += parsed.reasoning
        if self._calls is not None:
            parsed = self._calls.feed(parsed.content)
        self._append(parsed)

    def _append(self, parsed: Parsed) -> None:
        self._delta.content += parsed.content
        if parsed.tool_calls:
            self._delta.tool_calls = [*self._delta.tool_calls, *parsed.tool_calls]

    def _report(self, released: Sequence[Token]) -> None:
        if self._reports_ids:
            self._delta.token_ids = [*self._delta.token_ids, *(token for token, _ in released)]
        if self._reports_logprobs:
            said = [logprob for _, logprob in released if logprob is not None]
            self._delta.logprobs = [*self._delta.logprobs, *said]
