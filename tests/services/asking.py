"""Requests and answers, in few words."""

import json
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from gpt_server.common.v1 import media_pb2, model_service_pb2
from gpt_server.common.v1.model_service_pb2_grpc import ModelServiceStub
from gpt_server.llm.v1 import chat_pb2, sampling_pb2
from gpt_server.llm.v1 import llm_service_pb2 as pb

Stub = Any  # grpc-stubs know calls, but neither their `read` nor `EOF`
EOF = grpc.aio.EOF  # type: ignore[attr-defined]


def chat(text: str = "hello big world", **fake: Any) -> chat_pb2.Chat:
    """A conversation of one message; `fake` is the script of the answer."""
    return chat_pb2.Chat(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[media_pb2.Part(text=text)])],
        template_args_json=json.dumps({"fake": fake}) if fake else "",
    )


def ask(text: str = "hello big world", *, sampling: dict[str, Any] | None = None, **fake: Any) -> pb.GenerateRequest:
    """A request to `fake-chat`."""
    options = sampling_pb2.Sampling(**sampling or {})
    return pb.GenerateRequest(model="fake-chat", chat=chat(text, **fake), sampling=options)


def text_of(messages: list[pb.GenerateResponse]) -> str:
    """What choice 0 said."""
    return "".join(delta.content for message in messages for delta in message.deltas if delta.choice == 0)


async def rest(call: Any) -> list[pb.GenerateResponse]:
    """The messages that are still to come, of a call of which some were read with `read`."""
    messages = []
    while (message := await call.read()) is not EOF:
        messages.append(message)
    return messages


async def ready(channel: grpc.aio.Channel) -> None:
    """Returns when all models of a service take requests."""
    watch = ModelServiceStub(channel).Watch(model_service_pb2.WatchRequest(), wait_for_ready=True)
    async for picture in watch:
        if all(model.state == model_service_pb2.MODEL_STATE_READY for model in picture.models):
            break
    watch.cancel()


class Refusal:
    """A failed call, taken apart."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details() or ""
        self.reason = ""
        self.domain = ""
        self.field = ""
        self.retry_after_s: float | None = None
        for detail in self._details(error):
            self._take(detail)

    @staticmethod
    def _details(error: grpc.aio.AioRpcError) -> Any:
        class Call:
            """What `rpc_status` wants of a call; an `AioRpcError` is almost one."""

            trailing_metadata = error.trailing_metadata
            code = error.code
            details = error.details

        status = rpc_status.from_call(Call())  # type: ignore[arg-type]
        return status.details if status else ()

    def _take(self, detail: Any) -> None:
        info, request, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info):
            self.reason, self.domain = info.reason, info.domain
        elif detail.Unpack(request):
            (violation,) = request.field_violations
            self.field = violation.field
        elif detail.Unpack(retry):
            self.retry_after_s = retry.retry_delay.ToMilliseconds() / 1000


async def refusal(call: Any) -> Refusal:
    """Runs a call that must fail, and returns how it did."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return Refusal(error)
    raise AssertionError("the call was answered")
