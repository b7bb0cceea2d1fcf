"""A service that does exactly what a test tells it to: for faults, and for messages that no engine would send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from gpt_server.common.v1 import model_pb2, model_service_pb2, model_service_pb2_grpc
from gpt_server.llm.v1 import llm_service_pb2 as pb
from gpt_server.llm.v1 import llm_service_pb2_grpc

Context = Any  # grpc.aio.ServicerContext[...], whose parameters no test cares about
Play = Callable[["Stub", pb.GenerateRequest, Context], AsyncIterator[pb.GenerateResponse]]

STARTED = pb.GenerateResponse(started=pb.Started(prompt_tokens=3))


def text(*words: str, choice: int = 0) -> pb.GenerateResponse:
    """A message with one delta for each word."""
    return pb.GenerateResponse(deltas=[pb.Delta(choice=choice, content=word) for word in words])


def finished(choices: int = 1, completion_tokens: int = 2) -> pb.GenerateResponse:
    """A last message."""
    message = pb.GenerateResponse()
    for number in range(choices):
        message.finished.choices.add(choice=number, finish_reason=pb.FINISH_REASON_STOP)
    message.finished.usage.prompt_tokens = 3
    message.finished.usage.completion_tokens = completion_tokens
    return message


def status_of(name: str, state: Any = model_service_pb2.MODEL_STATE_READY, **model: Any) -> Any:
    """What a replica reports of a model that chats."""
    status = model_service_pb2.ModelStatus(state=state)
    fields: dict[str, Any] = {
        "kind": model_pb2.MODEL_KIND_LLM,
        "capabilities": [model_pb2.CAPABILITY_CHAT],
        "engine": "stub",
    } | model
    status.model.CopyFrom(model_pb2.ModelDescription(name=name, **fields))
    status.model.limits.max_running = status.model.limits.max_running or 8
    return status


async def answer(stub: "Stub", request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
    """Says who answers, and stops."""
    yield STARTED
    yield text(stub.replica)
    yield finished()


@dataclass
class Stub(llm_service_pb2_grpc.LLMServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """The servicer. `play` makes the messages of each call; `statuses` are what Watch reports."""

    replica: str = "stub-0"
    play: Play = answer
    statuses: list[Any] = field(default_factory=lambda: [status_of("m")])
    requests: list[pb.GenerateRequest] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)
    address: str = ""
    stop: Callable[[], Awaitable[None]] | None = None

    async def Generate(self, request: Any, context: Any) -> Any:
        """Plays the call."""
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.deadlines_s.append(context.time_remaining())
        async for message in self.play(self, request, context):
            yield message

    async def Tokenize(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def Detokenize(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def Describe(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def LoadAdapter(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def UnloadAdapter(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def ListAdapters(self, request: Any, context: Any) -> Any:
        """Is not played."""
        raise NotImplementedError

    async def Watch(self, request: Any, context: Any) -> Any:
        """Reports once and stays."""
        yield model_service_pb2.WatchResponse(replica=self.replica, version="1", models=self.statuses)
        await asyncio.Event().wait()


@asynccontextmanager
async def stub_service(play: Play = answer, *, address: str = "127.0.0.1:0", **settings: Any) -> AsyncIterator[Stub]:
    """Runs a stub on a free port, or on the address of one that has stopped."""
    stub = Stub(play=play, **settings)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    llm_service_pb2_grpc.add_LLMServiceServicer_to_server(stub, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(stub, server)
    stub.address = f"127.0.0.1:{server.add_insecure_port(address)}"
    await server.start()

    async def stop() -> None:
        await server.stop(None)

    stub.stop = stop
    try:
        yield stub
    finally:
        await server.stop(None)
