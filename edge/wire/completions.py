"""Completions on the wire: the whole answer, and its chunks as prepared bytes.

Choice `c` of prompt `p` has the index `p * n + c`.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.generation import FINISH_REASONS, Answer, Choice, stop_reason
from gpt_server.edge.schemas.completions import CompletionRequest
from gpt_server.edge.wire.common import DONE, Head, event, token_counts, usage_fields
from gpt_server.edge.wire.logprobs import CompletionLogprobs, joined, prompt_logprobs
from gpt_server.llm.v1 import llm_service_pb2


def completion(head: Head, body: CompletionRequest, answers: Sequence[Answer], echoes: Sequence[str]) -> bytes:
    """Returns the whole answer as a JSON document.

    Args:
        head: identifies it.
        body: the request.
        answers: those of the prompts, in order.
        echoes: what each choice of a prompt begins with: the prompt's text, or nothing.
    """
    choices = [
        _choice(prompt * body.choices + number, choice, body, answer, echoes[prompt])
        for prompt, answer in enumerate(answers)
        for number, choice in enumerate(answer.choices)
    ]
    usage = usage_fields([_counted(body, answer.usage) for answer in answers])
    return orjson.dumps(head.fields() | {"choices": choices, "usage": usage})


def _choice(index: int, choice: Choice, body: CompletionRequest, answer: Answer, echo: str) -> dict[str, Any]:
    if body.only_echo:
        choice = Choice(finish_reason="length")
    fields: dict[str, Any] = {
        "index": index,
        "text": echo + "".join(choice.content),
        "logprobs": None if body.logprobs is None else _logprobs(choice, body, answer, echo),
        "finish_reason": choice.finish_reason,
    }
    if choice.stop_reason is not None:
        fields["stop_reason"] = choice.stop_reason
    if body.return_token_ids:
        fields |= {"token_ids": choice.token_ids, "prompt_token_ids": answer.prompt_token_ids}
    if body.prompt_logprobs is not None:
        fields["prompt_logprobs"] = prompt_logprobs(answer.prompt_logprobs)
    return fields


def _logprobs(choice: Choice, body: CompletionRequest, answer: Answer, echo: str) -> dict[str, Any]:
    writer = CompletionLogprobs(body.return_tokens_as_token_ids)
    of_prompt = [writer.echo(answer.prompt_logprobs, echo)] if body.echo else []
    return joined([*of_prompt, writer.next(choice.logprobs)])


def _counted(body: CompletionRequest, usage: usage_pb2.Usage) -> usage_pb2.Usage:
    """Returns the usage without the one token that had to be sampled for an echo alone."""
    if not body.only_echo:
        return usage
    counted = usage_pb2.Usage()
    counted.CopyFrom(usage)
    counted.completion_tokens = 0
    return counted


class CompletionChunks:
    """The chunks of one streamed answer: those of all prompts, each of which calls `deltas` and `finish` for itself.

    Args:
        head: identifies the answer.
        body: the request.
        started: how long each prompt is.
        echoes: what each choice of a prompt begins with: the prompt's text, or nothing.
    """

    def __init__(
        self,
        head: Head,
        body: CompletionRequest,
        started: Sequence[llm_service_pb2.Started],
        echoes: Sequence[str],
    ) -> None:
        self._head = head.fields()
        self._body = body
        self._echoes = echoes
        self._prompt_tokens = sum(start.prompt_tokens for start in started)
        self._prompt_token_ids = [list(start.prompt_token_ids) for start in started]
        self._completion_tokens = 0
        as_ids = body.return_tokens_as_token_ids
        self._logprobs = [CompletionLogprobs(as_ids) for _ in range(len(started) * body.choices)]
        # What a prompt's choices begin with waits for this, if it is to be told.
        scored = body.prompt_logprobs is not None or (body.echo and body.logprobs is not None)
        self._scores: dict[int, list[llm_service_pb2.TokenLogprob]] = {n: [] for n in range(len(started)) if scored}
        options = body.stream_options
        self._with_usage = options is not None and options.include_usage
        self._continuous = options is not None and options.continuous_usage_stats
        opening = orjson.dumps(self._head)[:-1].replace(b"%", b"%%")
        self._open = b"data: " + opening + b',"choices":[{"index":%d,"text":%b'
        end = b'}],"usage":null}\n\n' if self._with_usage else b"}]}\n\n"
        self._close = b',"logprobs":null,"finish_reason":null' + end
        self._plain = not (self._continuous or body.logprobs is not None or body.return_token_ids)

    def start(self, prompt: int) -> bytes:
        """Returns what opens the choices of one prompt: nothing, or the echo, or the ids."""
        return b"" if prompt in self._scores else self._opening(prompt, [])

    def deltas(self, prompt: int, message: llm_service_pb2.GenerateResponse) -> bytes:
        """Returns one event for each delta. This runs once per token: prepared bytes and strings only."""
        first = prompt * self._body.choices
        events = [self._scored(prompt, message)] if prompt in self._scores else []
        if self._body.only_echo:
            pass
        elif self._plain:
            events += [
                (self._open % (first + delta.choice, orjson.dumps(delta.content))) + self._close
                for delta in message.deltas
                if delta.content
            ]
        else:
            events += [self._detailed(first + delta.choice, delta) for delta in message.deltas]
        return b"".join(events)

    def finish(self, prompt: int, finished: llm_service_pb2.Finished) -> bytes:
        """Returns why each choice of one prompt ended."""
        events = []
        for finish in finished.choices:
            reason = "length" if self._body.only_echo else FINISH_REASONS.get(finish.finish_reason, "stop")
            choice = _piece(prompt * self._body.choices + finish.choice, "") | {"finish_reason": reason}
            if (stop := stop_reason(finish)) is not None and not self._body.only_echo:
                choice["stop_reason"] = stop
            events.append(self._event(choice))
        return b"".join(events)

    def end(self, usages: Sequence[usage_pb2.Usage]) -> bytes:
        """Returns what ends the stream: usage if asked for, `[DONE]`."""
        if not self._with_usage:
            return DONE
        usage = usage_fields([_counted(self._body, usage) for usage in usages])
        return event(self._head | {"choices": [], "usage": usage}) + DONE

    def _scored(self, prompt: int, message: llm_service_pb2.GenerateResponse) -> bytes:
        """Returns the opening of a prompt's choices, once all is there that is told of the prompt."""
        self._scores[prompt].extend(message.prompt_logprobs)
        complete = message.deltas or message.HasField("finished")
        return self._opening(prompt, self._scores.pop(prompt)) if complete else b""

    def _opening(self, prompt: int, scores: Sequence[llm_service_pb2.TokenLogprob]) -> bytes:
        body, echo = self._body, self._echoes[prompt]
        extra: dict[str, Any] = {}
        if body.return_token_ids:
            extra["prompt_token_ids"] = self._prompt_token_ids[prompt]
        if body.prompt_logprobs is not None:
            extra["prompt_logprobs"] = prompt_logprobs(scores)
        if not (echo or extra or scores):
            return b""
        first, events = prompt * body.choices, []
        for index in range(first, first + body.choices):
            piece = _piece(index, echo) | extra
            if body.echo and scores and body.logprobs is not None:
                piece["logprobs"] = self._logprobs[index].echo(scores, echo)
            events.append(self._event(piece))
        return b"".join(events)

    def _detailed(self, index: int, delta: llm_service_pb2.Delta) -> bytes:
        """Returns a chunk that also tells of tokens: log-probabilities, ids or how many there are so far."""
        choice = _piece(index, delta.content)
        if self._body.logprobs is not None:
            choice["logprobs"] = self._logprobs[index].next(delta.logprobs)
        if self._body.return_token_ids:
            choice["token_ids"] = list(delta.token_ids)
        self._completion_tokens += len(delta.token_ids)
        return self._event(choice)

    def _event(self, choice: dict[str, Any]) -> bytes:
        document: dict[str, Any] = self._head | {"choices": [choice]}
        if self._continuous:
            document["usage"] = token_counts(self._prompt_tokens, self._completion_tokens)
        elif self._with_usage:
            document["usage"] = None
        return event(document)


def _piece(index: int, text: str) -> dict[str, Any]:
    """A piece of a choice, of which nothing but the text is known."""
    return {"index": index, "text": text, "logprobs": None, "finish_reason": None}
