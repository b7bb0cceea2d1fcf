"""One `Generate` call: which replica, until when, and what to do when that replica dies.

Chat, completions and later dialects share it. A call that a dead or full replica drops is repeated on another as long
as nothing of the model's output has been seen; a call whose deadline has passed is not.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from gpt_server.common.v1 import model_pb2, usage_pb2
from gpt_server.edge.affinity import affinity_of
from gpt_server.edge.calls import CallOptions, may_be_repeated
from gpt_server.edge.context import Edge
from gpt_server.edge.errors import ApiError, from_rpc, internal_error
from gpt_server.edge.replicas import Replica
from gpt_server.edge.telemetry import Exchange
from gpt_server.llm.v1 import llm_service_pb2
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub

FINISH_REASONS: Mapping[int, str] = {
    llm_service_pb2.FINISH_REASON_STOP: "stop",
    llm_service_pb2.FINISH_REASON_LENGTH: "length",
    llm_service_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


class Generation:
    """One prompt, on its way to its answer.

    `start`, then `messages`; `close` in any case, which cancels whatever still runs. After `start`, `started` says how
    long the prompt is, and `replica` who answers.
    """

    def __init__(
        self, edge: Edge, exchange: Exchange, request: llm_service_pb2.GenerateRequest, options: CallOptions
    ) -> None:
        self._edge = edge
        self._exchange = exchange
        self._request = request
        self._options = options
        self._affinity = affinity_of(request, options.affinity_key)
        self._failed: list[Replica] = []
        self._call: grpc.aio.UnaryStreamCall[llm_service_pb2.GenerateRequest, llm_service_pb2.GenerateResponse]
        self.replica: Replica | None = None
        self.started = llm_service_pb2.Started()

    async def start(self) -> None:
        """Returns when a replica has accepted the request.

        Raises:
            ApiError: no replica can answer it, or one refuses it.
        """
        with self._edge.telemetry.waiting(self._exchange.model):
            self._open()
            message = await self._next(repeatable=True)
        if not message.HasField("started"):
            raise internal_error()
        self.started = message.started

    async def messages(self) -> AsyncIterator[llm_service_pb2.GenerateResponse]:
        """Yields what the model says; the last message, and no other, has `finished`.

        Raises:
            ApiError: the call has failed. Nothing follows.
        """
        message = await self._next(repeatable=True)
        while message.HasField("started"):  # once more, by another replica
            message = await self._next(repeatable=True)
        if self._exchange.first_token_at is None:
            self._exchange.first_token_at = time.perf_counter()
        if self.replica is not None:
            self.replica.ended(grpc.StatusCode.OK)
        yield message
        while not message.HasField("finished"):
            message = await self._next(repeatable=False)
            yield message
        # The answer is whole; but a call that is left before its end counts as cancelled at the service.
        with suppress(grpc.aio.AioRpcError):
            await self._call.read()

    def close(self) -> None:
        """Ends the call, if it still runs. May be called at any time, more than once."""
        if self.replica is not None:
            self._call.cancel()
            self.replica.release()
            self.replica = None

    def _open(self) -> None:
        request = self._request
        self.replica = self._edge.replicas.pick(request.model, model_pb2.MODEL_KIND_LLM, self._failed, self._affinity)
        self.replica.acquire()
        stub = LLMServiceStub(self.replica.channel)
        self._call = stub.Generate(request, timeout=self._options.left_s, metadata=self._options.metadata)

    async def _next(self, *, repeatable: bool) -> llm_service_pb2.GenerateResponse:
        while True:
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError as error:
                refusal = self._refusal(error, repeatable)
                again = repeatable and may_be_repeated(error, refusal)
                if not (again and self._open_elsewhere(refusal.reason)):
                    raise refusal from error
            else:
                if isinstance(message, llm_service_pb2.GenerateResponse):
                    return message
                raise internal_error()  # the stream ended well and without an end

    def _refusal(self, error: grpc.aio.AioRpcError, unseen: bool) -> ApiError:
        """Returns what a failed call means. One that has begun to answer ran out of time by its length alone."""
        if self.replica is not None and (unseen or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED):
            self.replica.ended(error.code())
        return from_rpc(error, self._options.to_param)

    def _open_elsewhere(self, reason: str) -> bool:
        """Repeats the call on a replica that has not failed it yet. Returns whether there is one."""
        if (replica := self.replica) is None:
            return False
        self._failed.append(replica)
        if not self._edge.replicas.has_other(self._request.model, self._failed):
            return False
        self.close()
        self._open()
        self._edge.telemetry.retried(replica.name, reason)
        return True


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
