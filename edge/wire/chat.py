"""Chat completions on the wire: the whole answer, and its chunks as prepared bytes.

Chunks follow rules 1 to 11 of the streaming protocol: the role once per choice and in order, text, tool calls in
fragments, one finish chunk per choice, usage last and only if asked for.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from gpt_server.edge.generation import FINISH_REASONS, Answer, Choice, stop_reason
from gpt_server.edge.schemas.chat import ChatCompletionRequest
from gpt_server.edge.wire.common import DONE, Head, event, token_counts, usage_fields
from gpt_server.edge.wire.logprobs import chat_logprobs, prompt_logprobs
from gpt_server.llm.v1 import llm_service_pb2


def chat_completion(head: Head, body: ChatCompletionRequest, answer: Answer) -> bytes:
    """Returns the whole answer as a JSON document."""
    document = head.fields() | {
        "choices": [_choice(index, choice, body) for index, choice in enumerate(answer.choices)],
        "usage": usage_fields([answer.usage]),
    }
    if body.return_token_ids:
        document["prompt_token_ids"] = answer.prompt_token_ids
    if body.prompt_logprobs is not None:
        document["prompt_logprobs"] = prompt_logprobs(answer.prompt_logprobs)
    return orjson.dumps(document)


def _choice(index: int, choice: Choice, body: ChatCompletionRequest) -> dict[str, Any]:
    content, reasoning = "".join(choice.content), "".join(choice.reasoning)
    silent = choice.tool_calls and not content
    message: dict[str, Any] = {"role": "assistant", "content": None if silent else content, "refusal": None}
    if reasoning and body.include_reasoning:
        message["reasoning"] = message["reasoning_content"] = reasoning
    calls = [{"name": call.name, "arguments": "".join(call.arguments)} for call in choice.tool_calls]
    if calls and body.functions:
        message["function_call"] = calls[0]
    elif calls:
        ids = (call.id for call in choice.tool_calls)
        message["tool_calls"] = [
            {"id": id_, "type": "function", "function": call} for id_, call in zip(ids, calls, strict=True)
        ]
    fields: dict[str, Any] = {
        "index": index,
        "message": message,
        "logprobs": chat_logprobs(choice.logprobs, body.return_tokens_as_token_ids) if body.logprobs else None,
        "finish_reason": _finish_reason(choice.finish_reason, body),
    }
    if choice.stop_reason is not None:
        fields["stop_reason"] = choice.stop_reason
    if body.return_token_ids:
        fields["token_ids"] = choice.token_ids
    return fields


class ChatChunks:
    """The chunks of one streamed answer."""

    def __init__(self, head: Head, body: ChatCompletionRequest, started: llm_service_pb2.Started) -> None:
        self._head = head.fields("chat.completion.chunk")
        self._body = body
        self._started = started
        self._completion_tokens = 0
        options = body.stream_options
        self._with_usage = options is not None and options.include_usage
        self._continuous = options is not None and options.continuous_usage_stats
        self._open = b"data: " + orjson.dumps(self._head)[:-1] + b',"choices":[{"index":'
        self._close = b'}],"usage":null}\n\n' if self._with_usage else b"}]}\n\n"
        self._plain_close = b',"logprobs":null,"finish_reason":null' + self._close
        self._text_open = [self._open + b'%d,"delta":{"content":' % index for index in range(body.choices)]
        self._plain = not (self._continuous or body.logprobs or body.return_token_ids)
        self._calls = _function_call if body.functions else _tool_calls
        self._prompt_logprobs: list[llm_service_pb2.TokenLogprob] | None = None
        if body.prompt_logprobs is not None:
            self._prompt_logprobs = []

    def roles(self) -> bytes:
        """Returns what opens the stream: who speaks, for each choice in order."""
        extra = {"prompt_token_ids": list(self._started.prompt_token_ids)} if self._body.return_token_ids else {}
        delta = {"role": "assistant", "content": ""}
        return b"".join(
            self._event({"index": index, "delta": delta, "logprobs": None, "finish_reason": None}, extra)
            for index in range(self._body.choices)
        )

    def deltas(self, message: llm_service_pb2.GenerateResponse) -> bytes:
        """Returns one event for each delta. This runs once per token: prepared bytes and strings only."""
        events = [self._delta(delta) for delta in message.deltas]
        if self._prompt_logprobs is not None:
            events.insert(0, self._prompt(self._prompt_logprobs, message))
        return b"".join(events)

    def _prompt(self, scores: list[llm_service_pb2.TokenLogprob], message: llm_service_pb2.GenerateResponse) -> bytes:
        """Returns the event that tells of the prompt, when all of it is there; before that, nothing."""
        scores.extend(message.prompt_logprobs)
        if not (message.deltas or message.HasField("finished")):
            return b""
        self._prompt_logprobs = None
        return self._event(None, {"prompt_logprobs": prompt_logprobs(scores)})

    def end(self, finished: llm_service_pb2.Finished) -> bytes:
        """Returns what ends the stream: why each choice ended, usage if asked for, `[DONE]`."""
        events = []
        for finish in finished.choices:
            reason = _finish_reason(FINISH_REASONS.get(finish.finish_reason, "stop"), self._body)
            choice: dict[str, Any] = {"index": finish.choice, "delta": {}, "logprobs": None, "finish_reason": reason}
            if (stop := stop_reason(finish)) is not None:
                choice["stop_reason"] = stop
            events.append(self._event(choice, {}))
        if self._with_usage:
            events.append(event(self._head | {"choices": [], "usage": usage_fields([finished.usage])}))
        return b"".join([*events, DONE])

    def _delta(self, delta: llm_service_pb2.Delta) -> bytes:
        if self._plain and delta.content and not delta.reasoning and not delta.tool_calls:
            return self._text_open[delta.choice] + orjson.dumps(delta.content) + b"}" + self._plain_close
        parts = []
        if delta.reasoning and self._body.include_reasoning:
            text = orjson.dumps(delta.reasoning)
            parts.append(b'"reasoning":%b,"reasoning_content":%b' % (text, text))
        if delta.content:
            parts.append(b'"content":' + orjson.dumps(delta.content))
        if delta.tool_calls:
            parts.append(self._calls(delta.tool_calls))
        if self._plain:
            if not parts:
                return b""
            return b'%b%d,"delta":{%b}%b' % (self._open, delta.choice, b",".join(parts), self._plain_close)
        return self._detailed(delta, b"{" + b",".join(parts) + b"}")

    def _detailed(self, delta: llm_service_pb2.Delta, text: bytes) -> bytes:
        """Returns a chunk that also tells of tokens: log-probabilities, ids or how many there are so far."""
        choice: dict[str, Any] = {"index": delta.choice, "delta": orjson.Fragment(text), "logprobs": None}
        choice["finish_reason"] = None
        if self._body.logprobs:
            choice["logprobs"] = chat_logprobs(delta.logprobs, self._body.return_tokens_as_token_ids)
        if self._body.return_token_ids:
            choice["token_ids"] = list(delta.token_ids)
        self._completion_tokens += len(delta.token_ids)
        return self._event(choice, {})

    def _event(self, choice: dict[str, Any] | None, extra: dict[str, Any]) -> bytes:
        document = self._head | {"choices": [] if choice is None else [choice]} | extra
        if self._continuous:
            document["usage"] = token_counts(self._started.prompt_tokens, self._completion_tokens)
        elif self._with_usage:
            document["usage"] = None
        return event(document)


def _joined(fragments: Sequence[llm_service_pb2.ToolCallDelta]) -> Sequence[llm_service_pb2.ToolCallDelta]:
    """Returns one fragment for each call: the helper of openai 2.x loses a second one in the same chunk."""
    if len(fragments) == 1:
        return fragments
    calls: dict[int, llm_service_pb2.ToolCallDelta] = {}
    for fragment in fragments:
        if fragment.index in calls:
            calls[fragment.index].arguments += fragment.arguments
        else:
            calls[fragment.index] = llm_service_pb2.ToolCallDelta()
            calls[fragment.index].CopyFrom(fragment)
    return list(calls.values())


def _finish_reason(reason: str, body: ChatCompletionRequest) -> str:
    return "function_call" if body.functions and reason == "tool_calls" else reason


def _function_call(fragments: Sequence[llm_service_pb2.ToolCallDelta]) -> bytes:
    """One call in OpenAI's deprecated form; there is no more than one."""
    name = "".join(fragment.name for fragment in fragments)
    fields = {"name": name} if name else {}
    return b'"function_call":' + orjson.dumps(fields | {"arguments": "".join(each.arguments for each in fragments)})


def _tool_calls(fragments: Sequence[llm_service_pb2.ToolCallDelta]) -> bytes:
    return b'"tool_calls":[' + b",".join(map(_tool_call, _joined(fragments))) + b"]"


def _tool_call(fragment: llm_service_pb2.ToolCallDelta) -> bytes:
    arguments = orjson.dumps(fragment.arguments)
    if not fragment.id:
        return b'{"index":%d,"function":{"arguments":%b}}' % (fragment.index, arguments)
    return b'{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}' % (
        fragment.index,
        orjson.dumps(fragment.id),
        orjson.dumps(fragment.name),
        arguments,
    )
