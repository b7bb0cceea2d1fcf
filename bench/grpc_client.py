"""A load client for our service without the edge: gRPC's own library, as a caller in Python uses it."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import grpc
import uvloop

from bench.load import QUESTION, Load, Seen
from gpt_server.common.v1 import media_pb2
from gpt_server.llm.v1 import chat_pb2, llm_service_pb2, llm_service_pb2_grpc, sampling_pb2

LIMIT_S = 300.0  # only so that a failure ends


@dataclass(slots=True)
class Answer:
    """When things came, and how many tokens the end said."""

    began_s: float = field(default_factory=time.perf_counter)
    texts_s: list[float] = field(default_factory=list)
    ended_s: float = 0.0
    tokens: int = 0


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


async def _ask_in_turn(
    channel: grpc.aio.Channel, requests: Iterator[llm_service_pb2.GenerateRequest], answers: list[Answer]
) -> None:
    for request in requests:
        answers.append(await _ask(channel, request))


async def _run(load: Load) -> Seen:
    requests = iter([_request(load, number) for number in range(load.requests)])
    async with grpc.aio.insecure_channel(load.address) as channel:
        await channel.channel_ready()
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        answers: list[Answer] = []
        begin = time.perf_counter()
        await asyncio.gather(*(_ask_in_turn(channel, requests, answers) for _ in range(load.concurrent)))
        wall_s = time.perf_counter() - begin
    if wrong := [answer.tokens for answer in answers if answer.tokens != load.tokens]:
        raise RuntimeError(f"{wrong[0]} tokens instead of {load.tokens}")
    return Seen(
        wall_s=wall_s,
        tokens=sum(answer.tokens for answer in answers),
        first_s=[answer.texts_s[0] - answer.began_s for answer in answers if answer.texts_s],
        gap_s=[b - a for answer in answers for a, b in zip(answer.texts_s, answer.texts_s[1:], strict=False)],
        whole_s=[answer.ended_s - answer.began_s for answer in answers],
        writes=sum(len(answer.texts_s) for answer in answers),
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(Load(**json.loads(sys.argv[1])))))), flush=True)
