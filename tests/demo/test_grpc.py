"""A gRPC client straight at the demo's LLM service: no edge between."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from gpt_server.common.v1 import media_pb2
from gpt_server.llm.v1 import chat_pb2, llm_service_pb2, sampling_pb2
from gpt_server.llm.v1.llm_service_pb2_grpc import LLMServiceStub
from tests.support.demo import service_address
from tests.support.stack import RunningStack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def channel(demo: RunningStack) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(service_address(demo)) as channel:
        yield channel


def request(text: str, **sampling: Any) -> llm_service_pb2.GenerateRequest:
    turn = chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[media_pb2.Part(text=text)])
    options = sampling_pb2.Sampling(temperature=0, **sampling)
    return llm_service_pb2.GenerateRequest(model="demo-chat", chat=chat_pb2.Chat(messages=[turn]), sampling=options)


async def test_order_of_messages(channel: grpc.aio.Channel) -> None:
    messages = [message async for message in LLMServiceStub(channel).Generate(request("Hello!"), timeout=60)]
    assert [message.HasField("started") for message in messages] == [True] + [False] * (len(messages) - 1)
    assert [message.HasField("finished") for message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[0].started.prompt_tokens == messages[-1].finished.usage.prompt_tokens
    assert "".join(delta.content for message in messages for delta in message.deltas).startswith("Hello")


async def test_cancel_frees_the_slot(channel: grpc.aio.Channel, demo: RunningStack) -> None:
    async with demo.watching("demo-chat-0") as until_running:
        await until_running(0)
        call: Any = LLMServiceStub(channel).Generate(request("Count from 1 to 30.", ignore_eos=True, max_tokens=2000))
        assert (await call.read()).HasField("started")
        await until_running(1)
        call.cancel()
        await until_running(0)


async def test_refusal_has_a_reason(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await LLMServiceStub(channel).Generate(request("x", top_p=3)).read()
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info = ErrorInfo()
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_FIELD", "gpt-server")
