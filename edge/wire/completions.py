"""Completions on the wire: the whole answer, and its chunks as prepared bytes.

Choice `c` of prompt `p` has the index `p * n + c`.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.generation import FINISH_REASONS, Answer, Choice, stop_reason
from gpt_server.edge.schemas.completions import CompletionRequest
from gpt_server.edge.wire.common import DONE, Head, completion_logprobs, event, token_counts, usage_fields
from gpt_server.llm.v1 import llm_service_pb2


def completion(head: Head, body: CompletionRequest, answers: Sequence[Answer]) -> bytes:
    """Returns the whole answer as a JSON document; `answers` are those of the prompts, in order."""
    choices = [
        _choice(prompt * body.choices + number, choice, body, answer, _echo(body, prompt))
        for prompt, answer in enumerate(answers)
        for number, choice in enumerate(answer.choices)
    ]
    usage = usage_fields([answer.usage for answer in answers])
    return orjson.dumps(head.fields() | {"choices": choices, "usage": usage})


def _echo(body: CompletionRequest, prompt: int) -> str:
    text = body.prompts[prompt]
    return text if body.echo and isinstance(text, str) else ""


def _choice(index: int, choice: Choice, body: CompletionRequest, answer: Answer, echo: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "index": index,
        "text": echo + "".join(choice.content),
        "logprobs": None if body.logprobs is None else completion_logprobs(choice.logprobs, 0),
        "finish_reason": choice.finish_reason,
    }
    if choice.stop_reason is not None:
        fields["stop_reason"] = choice.stop_reason
    if body.return_token_ids:
        fields |= {"token_ids": choice.token_ids, "prompt_token_ids": answer.prompt_token_ids}
    return fields


class CompletionChunks:
    """The chunks of one streamed answer: those of all prompts, each of which calls `deltas` and `finish` for itself."""

    def __init__(self, head: Head, body: CompletionRequest, started: Sequence[llm_service_pb2.Started]) -> None:
        self._head = head.fields()
        self._body = body
        self._prompt_tokens = sum(start.prompt_tokens for start in started)
        self._prompt_token_ids = [list(start.prompt_token_ids) for start in started]
        self._completion_tokens = 0
        self._offsets = [0] * (len(started) * body.choices)
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
        echo = _echo(self._body, prompt)
        if not echo and not self._body.return_token_ids:
            return b""
        first = prompt * self._body.choices
        ids = {"prompt_token_ids": self._prompt_token_ids[prompt]} if self._body.return_token_ids else {}
        return b"".join(
            self._event({"index": index, "text": echo, "logprobs": None, "finish_reason": None} | ids)
            for index in range(first, first + self._body.choices)
        )

    def deltas(self, prompt: int, message: llm_service_pb2.GenerateResponse) -> bytes:
        """Returns one event for each delta. This runs once per token: prepared bytes and strings only."""
        first = prompt * self._body.choices
        if self._plain:
            events = [
                (self._open % (first + delta.choice, orjson.dumps(delta.content))) + self._close
                for delta in message.deltas
                if delta.content
            ]
        else:
            events = [self._detailed(first + delta.choice, delta) for delta in message.deltas]
        return b"".join(events)

    def finish(self, prompt: int, finished: llm_service_pb2.Finished) -> bytes:
        """Returns why each choice of one prompt ended."""
        events = []
        for finish in finished.choices:
            choice: dict[str, Any] = {
                "index": prompt * self._body.choices + finish.choice,
                "text": "",
                "logprobs": None,
                "finish_reason": FINISH_REASONS.get(finish.finish_reason, "stop"),
            }
            if (stop := stop_reason(finish)) is not None:
                choice["stop_reason"] = stop
            events.append(self._event(choice))
        return b"".join(events)

    def end(self, usages: Sequence[usage_pb2.Usage]) -> bytes:
        """Returns what ends the stream: usage if asked for, `[DONE]`."""
        if not self._with_usage:
            return DONE
        return event(self._head | {"choices": [], "usage": usage_fields(usages)}) + DONE

    def _detailed(self, index: int, delta: llm_service_pb2.Delta) -> bytes:
        """Returns a chunk that also tells of tokens: log-probabilities, ids or how many there are so far."""
        choice: dict[str, Any] = {"index": index, "text": delta.content, "logprobs": None, "finish_reason": None}
        if self._body.logprobs is not None:
            choice["logprobs"] = completion_logprobs(delta.logprobs, self._offsets[index])
            self._offsets[index] += sum(len(item.sampled.token) for item in delta.logprobs)
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
