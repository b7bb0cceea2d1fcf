"""One choice: vLLM's pieces of output become deltas, through vLLM's parser if it is a chat."""

from collections.abc import Mapping, Sequence
from typing import Any

from vllm.renderers.chat_utils import make_tool_call_id

from gpt_server.services.common.errors import EngineUnavailable
from gpt_server.services.llm.engine import (
    ChoiceFinish,
    Delta,
    FinishReason,
    TokenLogprob,
    ToolCallDelta,
)
from gpt_server.services.llm.engines.vllm.prompts import Plan
from gpt_server.services.llm.text import Detokenizer, Unreleased
from gpt_server.services.llm.vocabulary import Vocabulary

Token = tuple[int, TokenLogprob | None]

#: How vLLM says that a choice has ended well.
FINISHES: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "repetition": "stop"}


class Choice:
    """A choice. `finish` is set when it has ended."""

    def __init__(self, plan: Plan, number: int, parser: Any, vocabulary: Vocabulary) -> None:
        request = plan.request
        self.finish: ChoiceFinish | None = None
        self.sampled = 0
        self._plan = plan
        self._number = number
        self._parser = parser
        self._vocabulary = vocabulary
        self._top = request.sampling.top_logprobs or 0
        self._calls: list[str] = []
        # Parsers are shown special tokens; the caller is not, unless that is wished.
        hides = parser is not None and request.sampling.skip_special_tokens is not False
        self._specials = vocabulary.specials if hides and not plan.params.skip_special_tokens else {}
        self._to_hide: list[str] = []
        skipped = vocabulary.specials if plan.params.skip_special_tokens else {}
        self._token_text = Detokenizer(vocabulary.token_bytes.__getitem__, skipped) if _wants_tokens(parser) else None
        # What the parser counts in the end; nothing where the prompt has closed the reasoning.
        self._thought_ids: list[int] | None = [] if plan.reasoning.get("reasoning_ended") is False else None
        self._one_call = request.chat is not None and request.chat.parallel_tool_calls is False
        self._reports = bool(request.return_token_ids or request.sampling.logprobs)
        # vLLM holds text back that may be the start of a stop string, but not the tokens it is made of.
        holds = self._reports and request.sampling.stop
        self._text = Detokenizer(vocabulary.token_bytes.__getitem__) if holds else None
        self._unreleased: Unreleased[Token] = Unreleased()

    @property
    def reasoning_tokens(self) -> int:
        """How many of the sampled tokens were spent on reasoning, as the parser counts them."""
        return int(self._parser.count_reasoning_tokens(self._thought_ids)) if self._thought_ids is not None else 0

    def take(self, output: Any) -> Delta | None:
        """Returns what is new in a piece of vLLM's output; `None`: nothing that can be told."""
        delta = Delta(self._number)
        ids = list(output.token_ids)
        self.sampled += len(ids)
        ended = output.finish_reason is not None
        if self._parser is None:
            delta.content = output.text
        elif output.text or ids or ended:
            self._parse(delta, output.text, ids, ended)
        if self._reports:
            self._report(delta, output, ids)
        if ended:
            self.finish = self._end(output)
        told = delta.content or delta.reasoning or delta.tool_calls or delta.token_ids or delta.logprobs
        return delta if told else None

    def _parse(self, delta: Delta, text: str, ids: list[int], ended: bool) -> None:
        if self._thought_ids is not None:
            self._thought_ids += ids
        calls = []
        pieces = self._split(text, ids)
        for number, (piece, tokens) in enumerate(pieces, 1):
            found = self._parser.parse_delta(
                delta_text=piece,
                delta_token_ids=tokens,
                request=self._plan.chat_request,
                prompt_token_ids=self._plan.prompt_token_ids,
                finished=ended and number == len(pieces),
            )
            if found is not None:
                delta.content += found.content or ""
                delta.reasoning += found.reasoning or ""
                calls += [call for fragment in found.tool_calls if (call := self._call(fragment)) is not None]
        delta.content = self._without_specials(delta.content, ids)
        delta.tool_calls = calls

    def _split(self, text: str, ids: list[int]) -> Sequence[tuple[str, list[int]]]:
        """Returns an output as the parser can take it: most of vLLM's lose something of several tokens at once."""
        if self._token_text is None:
            return [(text, ids)]
        pieces = []
        for token in ids:
            size = len(self._token_text.push(token))
            pieces.append((text[:size], [token]))
            text = text[size:]
        if text or not pieces:  # held back before, or what is left at the end
            last, tokens = pieces.pop() if pieces else ("", [])
            pieces.append((last + text, tokens))
        return pieces

    def _without_specials(self, content: str, ids: list[int]) -> str:
        """Takes the special tokens out that were sampled and that the parser has passed on."""
        self._to_hide += [self._specials[token] for token in ids if token in self._specials]
        for mark in [mark for mark in self._to_hide if mark in content]:
            content = content.replace(mark, "", 1)
            self._to_hide.remove(mark)
        return content

    def _call(self, piece: Any) -> ToolCallDelta | None:
        """Returns a fragment of a call: its id and name once, and its place among the calls that are let through."""
        arguments = (piece.function.arguments if piece.function else None) or ""
        index = min(piece.index, len(self._calls))
        if self._one_call and index > 0:
            return None
        if index < len(self._calls):
            return ToolCallDelta(index, arguments=arguments) if arguments else None
        name = (piece.function.name if piece.function else None) or ""
        if not name:
            return None
        self._calls.append(name)
        return ToolCallDelta(index, piece.id or make_tool_call_id(), name, arguments)

    def _report(self, delta: Delta, output: Any, ids: list[int]) -> None:
        """Reports the tokens whose text is out; of a stop, neither its tokens nor what it was made of."""
        shown = ids[: len(ids) - self._hidden(output)]
        scores: Sequence[Mapping[int, Any] | None] = output.logprobs or [None] * len(ids)
        tokens: list[Token] = [
            (token, None if score is None else scored(self._vocabulary, token, score, self._top))
            for token, score in zip(shown, scores, strict=False)
        ]
        if self._text is not None:
            for token in tokens:
                self._unreleased.push(token, len(self._text.push(token[0])))
            tokens = self._unreleased.release(len(output.text))
            if output.finish_reason is not None:
                tokens += self._unreleased.end(cut=isinstance(output.stop_reason, str))
        if self._plan.request.return_token_ids:
            delta.token_ids = [token for token, _ in tokens]
        if self._plan.request.sampling.logprobs:
            delta.logprobs = [score for _, score in tokens if score is not None]

    def _hidden(self, output: Any) -> int:
        """Returns how many tokens at the end are a stop that is no part of the output."""
        if output.finish_reason != "stop" or isinstance(output.stop_reason, str):
            return 0
        sampling = self._plan.request.sampling
        asked = output.stop_reason in sampling.stop_token_ids
        return 0 if asked and sampling.include_stop_str_in_output else 1

    def _end(self, output: Any) -> ChoiceFinish:
        if output.finish_reason not in FINISHES:
            raise EngineUnavailable(f"vLLM gave the request up: {output.finish_reason}")
        reason: FinishReason = FINISHES[output.finish_reason]
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        said = output.stop_reason
        stop = said if isinstance(said, str) else None
        token = said if isinstance(said, int) and said in self._plan.request.sampling.stop_token_ids else None
        return ChoiceFinish(self._number, reason, stop, token)


def scored(vocabulary: Vocabulary, token: int, scores: Mapping[int, Any], top: int) -> TokenLogprob:
    """Returns what vLLM says of a token and of the likeliest at its place.

    Args:
        vocabulary: the model's tokens.
        token: the token.
        scores: vLLM's `Logprob` of it and of the likeliest, by id.
        top: how many of the likeliest are told.
    """
    ranked = sorted(scores, key=lambda one: scores[one].rank)[:top]
    return vocabulary.scored(token, scores[token].logprob, [(one, scores[one].logprob) for one in ranked])


def _wants_tokens(parser: Any) -> bool:
    """Whether a parser has a part that reads one token at a time, as vLLM's older ones do."""
    parts = (parser.tool_parser, parser.reasoning_parser) if parser is not None else ()
    return any(part is not None and not part.engine_based_streaming for part in parts)
