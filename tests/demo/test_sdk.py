"""The official openai SDK, strict, against the demo: a real model behind the real edge, every process its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.support.stack import RunningStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest_asyncio.fixture(loop_scope="session")
async def client(demo: RunningStack) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{demo.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def said(text: str) -> Any:
    return {"model": "demo-chat", "temperature": 0, "messages": [{"role": "user", "content": text}]}


def only(calls: Any) -> Any:
    """The one call that a message has."""
    assert [call.type for call in calls or ()] == ["function"]
    return calls[0]


async def test_streamed_is_the_same_as_whole(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**said("Hello!"))
    text, usage = "", None
    async for chunk in await client.chat.completions.create(
        **said("Hello!"), stream=True, stream_options={"include_usage": True}
    ):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage or usage
    assert text == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


async def test_tool_is_called_and_its_result_answered(client: AsyncOpenAI) -> None:
    question = said("What is the weather in Paris?")
    answer = await client.chat.completions.create(**question, tools=[WEATHER])
    call = only(answer.choices[0].message.tool_calls)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})

    async with client.chat.completions.stream(**question, tools=[WEATHER]) as stream:
        streamed = (await stream.get_final_completion()).choices[0].message.tool_calls
    assert streamed
    assert streamed[0].function.arguments == call.function.arguments

    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    question["messages"] += [answer.choices[0].message.model_dump(exclude_none=True), result]
    final = await client.chat.completions.create(**question, tools=[WEATHER])
    assert "21" in (final.choices[0].message.content or "")


async def test_required_tool_is_called_whatever_is_said(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**said("Thanks!"), tools=[WEATHER], tool_choice="required")
    call = only(answer.choices[0].message.tool_calls)
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


async def test_structured_output_is_parsed(client: AsyncOpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    answer = await client.chat.completions.parse(
        **said("Extract the name and age: Alice is 30 years old."), response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Alice", age=30)


async def test_thinking_is_apart_from_the_answer(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**said("What is 27 + 15?"), extra_body={"enable_thinking": True})
    message: Any = answer.choices[0].message
    assert message.reasoning
    assert message.reasoning == message.reasoning_content
    assert "think>" not in message.content
    assert "42" in message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.completion_tokens_details.reasoning_tokens or 0) > 0


async def test_choices_and_logprobs(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        **{**said("Tell me a short story."), "temperature": 1.5},
        n=3,
        seed=7,
        max_tokens=30,
        logprobs=True,
        top_logprobs=2,
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    for choice in answer.choices:
        assert choice.logprobs is not None
        tokens = choice.logprobs.content or []
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
        assert b"".join(bytes(token.bytes or ()) for token in tokens).decode() == choice.message.content


async def test_many_at_once(client: AsyncOpenAI, demo: RunningStack) -> None:
    alone = (await client.chat.completions.create(**said("What is 3 + 4?"))).choices[0].message.content
    failed = await demo.metric("demo-chat-0", "gpt_server_errors_total{")
    answers = await asyncio.gather(*[client.chat.completions.create(**said("What is 3 + 4?")) for _ in range(24)])
    assert {answer.choices[0].message.content for answer in answers} == {alone}
    assert await demo.metric("demo-chat-0", "gpt_server_running_requests{") == 0
    assert await demo.metric("demo-chat-0", "gpt_server_errors_total{") == failed


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", "model"),
        ({"temperature": 9}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"extra_body": {"suffix_": 1}}, openai.BadRequestError, "unsupported_parameter", "suffix_"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "context_length_exceeded", None),
        ({"messages": []}, openai.BadRequestError, None, "messages"),
    ],
)
async def test_errors_are_the_sdks_own(
    client: AsyncOpenAI, change: dict[str, Any], status: type[openai.APIStatusError], code: str, param: str
) -> None:
    for stream in (False, True):
        with pytest.raises(status) as raised:
            await client.chat.completions.create(**{**said("Hello!"), **change}, stream=stream)
        assert raised.value.request_id
        assert raised.value.param == param
        assert code is None or raised.value.code == code


@pytest.mark.parametrize("stream", [True, False])
async def test_caller_who_leaves_frees_the_slot(client: AsyncOpenAI, demo: RunningStack, stream: bool) -> None:
    endless = {**said("Count from 1 to 30."), "extra_body": {"ignore_eos": True}, "max_tokens": 2000}
    async with demo.watching("demo-chat-0") as until_running:
        await until_running(0)
        if stream:
            answer: Any = await client.chat.completions.create(**endless, stream=True)
            await anext(aiter(answer))
            await until_running(1)
            await answer.close()
        else:
            asked = asyncio.create_task(client.chat.completions.create(**endless))
            await until_running(1)
            asked.cancel()
        await until_running(0)


async def test_completions_and_tokens(client: AsyncOpenAI, demo: RunningStack) -> None:
    answer = await client.completions.create(model="demo-chat", prompt=["Hello", "Bye"], max_tokens=4, temperature=0)
    assert [choice.index for choice in answer.choices] == [0, 1]
    async with aiohttp.ClientSession(demo.url) as session:
        async with session.post("/tokenize", json={"model": "demo-chat", "prompt": "Grüße 👋"}) as response:
            tokens = (await response.json())["tokens"]
        async with session.post("/detokenize", json={"model": "demo-chat", "tokens": tokens}) as response:
            assert (await response.json())["prompt"] == "Grüße 👋"


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    listed = [model.id for model in (await client.models.list()).data]
    assert listed == [
        "demo-chat",
        "demo-ear",
        "demo-embed",
        "demo-image",
        "demo-moderation",
        "demo-rerank",
        "demo-voice",
    ]
    details: Any = await client.models.retrieve("demo-chat")
    assert details.max_model_len >= 2048
    assert {"chat", "tools", "reasoning", "structured_output"} <= set(details.capabilities)
