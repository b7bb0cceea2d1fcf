"""A load client for our service without the edge: gRPC's own library, as a caller in Python uses it."""

import time
from dataclasses import dataclass, field
from functools import partial

import grpc

from bench.client import LIMIT_S, ask_all, main
from bench.load import QUESTION, Load, Seen
from gpt_server.common.v1 import media_pb2
from gpt_server.llm.v1 import chat_pb2, llm_service_pb2, llm_service_pb2_grpc, sampling_pb2


@dataclass(slots=True)
class Answer:
    """When things came, and how many tokens the end said."""

    began_s: float = field(default_factory=time.perf_counter)
    texts_s: list[float] = field(default_factory=list)
    ended_s: float = 0.0
    tokens: int = 0

    @property
    def writes(self) -> int:
        """Messages with text."""
        return len(self.texts_s)


def _request(load: Load, number: int) -> llm_service_pb2.GenerateRequest:
    text = media_pb2.Part(text=QUESTION.format(number))
    chat = chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=[text])])
    sampling = sampling_pb2.Sampling(temperature=0, max_tokens=load.tokens, ignore_eos=True)
    return llm_service_pb2.GenerateRequest(model=load.model, chat=chat, sampling=sampling)


async def _ask(channel: grpc.aio.Channel, request: llm_service_pb2.GenerateRequest) -> Answer:
    answer = Answer()
    async for message in llm_service_pb2_grpc.LLMServiceStub(channel).Generate(request, timeout=LIMIT_S):
        answer.ended_s = time.perf_counter()
        if message.deltas:
            answer.texts_s.append(answer.ended_s)
        if message.HasField("finished"):
            answer.tokens = message.finished.usage.completion_tokens
    return answer


async def run(load: Load) -> Seen:
    """Asks over one channel."""
    async with grpc.aio.insecure_channel(load.address) as channel:
        await channel.channel_ready()
        requests = [_request(load, number) for number in range(load.requests)]
        return await ask_all(load, [partial(_ask, channel)] * load.concurrent, requests)


if __name__ == "__main__":
    main(run)
