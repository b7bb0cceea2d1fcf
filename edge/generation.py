"""One `Generate` call, and its answer put together. Chat, completions and later dialects share it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.edge.affinity import affinity_of
from gpt_server.edge.calls import CallOptions
from gpt_server.edge.context import Edge
from gpt_server.edge.streamed import StreamedCall
from gpt_server.edge.telemetry import Exchange
from gpt_server.llm.v1 import llm_service_pb2
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

FINISH_REASONS: Mapping[int, str] = {
    llm_service_pb2.FINISH_REASON_STOP: "stop",
    llm_service_pb2.FINISH_REASON_LENGTH: "length",
    llm_service_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


class Generation(StreamedCall[llm_service_pb2.GenerateResponse]):
    """One prompt, on its way to its answer. After `start`, `started` says how long the prompt is."""

    kind = model_pb2.MODEL_KIND_LLM

    def __init__(
        self, edge: Edge, exchange: Exchange, request: llm_service_pb2.GenerateRequest, options: CallOptions
    ) -> None:
        super().__init__(edge, exchange, request.model, options)
        self._request = request
        self._affinity = affinity_of(request, options.affinity_key)
        self.started: llm_service_pb2.Started = llm_service_pb2.Started()

    def _dial(self, channel: grpc.aio.Channel, options: CallOptions) -> Any:
        return LLMServiceStub(channel).Generate(self._request, timeout=options.left_s, metadata=options.metadata)


@dataclass(slots=True)
class ToolCallText:
    """A tool call, its arguments in pieces."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Choice:
    """One choice, its texts in pieces. `finish_reason` and `stop_reason` say how it ended."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: list[ToolCallText] = field(default_factory=list)
    logprobs: list[llm_service_pb2.TokenLogprob] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str = ""
    stop_reason: str | int | None = None

    def add(self, delta: llm_service_pb2.Delta) -> None:
        """Appends what is new."""
        self.content.append(delta.content)
        self.reasoning.append(delta.reasoning)
        self.logprobs.extend(delta.logprobs)
        self.token_ids.extend(delta.token_ids)
        for fragment in delta.tool_calls:
            if fragment.index == len(self.tool_calls):
                self.tool_calls.append(ToolCallText(fragment.id, fragment.name))
            self.tool_calls[fragment.index].arguments.append(fragment.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that came of one prompt."""

    choices: list[Choice]
    usage: usage_pb2.Usage
    prompt_token_ids: list[int]
    prompt_logprobs: list[llm_service_pb2.TokenLogprob]


async def collect(generation: Generation) -> Answer:
    """Waits for a started generation to finish and returns all of it. Raises `ApiError` as `messages` does."""
    choices: dict[int, Choice] = {}
    prompt_logprobs: list[llm_service_pb2.TokenLogprob] = []
    async for message in generation.messages():
        prompt_logprobs.extend(message.prompt_logprobs)
        for delta in message.deltas:
            choices.setdefault(delta.choice, Choice()).add(delta)
    for finish in message.finished.choices:
        choice = choices.setdefault(finish.choice, Choice())
        choice.finish_reason = FINISH_REASONS.get(finish.finish_reason, "stop")
        choice.stop_reason = stop_reason(finish)
    in_order = [choices[number] for number in sorted(choices)]
    return Answer(in_order, message.finished.usage, list(generation.started.prompt_token_ids), prompt_logprobs)


def stop_reason(finish: llm_service_pb2.ChoiceFinish) -> str | int | None:
    """Returns the stop string or token of the request that the choice ended at; `None` if it was none of them."""
    matched = finish.WhichOneof("matched")
    return None if matched is None else getattr(finish, matched)
