"""Chat: whole, streamed, with tools, with a form."""

import asyncio
import json
from typing import Any, Literal

import pytest
from openai import AsyncOpenAI, LengthFinishReasonError, pydantic_function_tool
from openai.types.chat import ChatCompletionToolParam
from pydantic import BaseModel

from tests.openai.asking import say, script
from tests.openai.conftest import Stack

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "weather", "arguments": {"city": "Rome"}}]


class Step(BaseModel):
    """A form for the answer."""

    text: str
    kind: Literal["a", "b"]


class Weather(BaseModel):
    """Arguments of a tool."""

    city: str


async def test_models(client: AsyncOpenAI, stack: Stack) -> None:
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == [stack.model]
    model = await client.models.retrieve(stack.model)
    assert (model.object, model.owned_by) == ("model", "gpt-server")


async def test_chat(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.chat.completions.create(model=stack.model, messages=say("hello there"))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: hello there")
    assert (choice.finish_reason, choice.logprobs, choice.message.refusal) == ("stop", None, None)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 2 + 4
    assert answer.id.startswith("chatcmpl-")
    assert answer._request_id is not None


async def test_chat_without_an_event_loop(stack: Stack) -> None:
    def ask() -> str | None:
        with stack.blocking_client() as client:
            answer = client.chat.completions.create(model=stack.model, messages=say("hello there"))
            chunks = client.chat.completions.create(model=stack.model, messages=say("hello there"), stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: hello there"
            return answer.choices[0].message.content

    assert await asyncio.to_thread(ask) == "You said: hello there"


async def test_several_choices_with_logprobs(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.chat.completions.create(
        model=stack.model, messages=say("hi"), n=2, logprobs=True, top_logprobs=2, seed=1, temperature=0
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        assert "".join(score.token for score in choice.logprobs.content) == choice.message.content
        assert all(len(score.top_logprobs) == 2 for score in choice.logprobs.content)


async def test_stream(client: AsyncOpenAI, stack: Stack) -> None:
    stream = await client.chat.completions.create(
        model=stack.model, messages=say("hello there"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "You said: hello there"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_stream_of_the_helper(client: AsyncOpenAI, stack: Stack) -> None:
    """It joins what it reads: a role, an id or a name that comes twice would come out doubled."""
    async with client.chat.completions.stream(
        model=stack.model, messages=say("hello there"), n=2, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type async for event in stream}
        answer = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert [choice.message.content for choice in answer.choices] == ["You said: hello there"] * 2
    assert [choice.message.role for choice in answer.choices] == ["assistant"] * 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


async def test_reasoning_by_both_names(client: AsyncOpenAI, stack: Stack) -> None:
    body = script(reasoning="let me see", reply="four")
    answer = await client.chat.completions.create(model=stack.model, messages=say("2+2"), extra_body=body)
    message = answer.choices[0].message.model_dump()
    assert (message["content"], message["reasoning"], message["reasoning_content"]) == ("four", *["let me see"] * 2)
    history: Any = [*say("2+2"), message, *say("sure?")]
    again = await client.chat.completions.create(model=stack.model, messages=history)
    assert again.choices[0].message.content == "You said: sure?"


async def test_tools(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.chat.completions.create(
        model=stack.model, messages=say("weather?"), tools=[WEATHER], extra_body=script(tool_calls=CALLS)
    )
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    calls = choice.message.tool_calls or []
    assert [call.type for call in calls] == ["function", "function"]
    made = [(call.function.name, json.loads(call.function.arguments)) for call in calls if call.type == "function"]
    assert made == [(call["name"], call["arguments"]) for call in CALLS]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    history: Any = [*say("weather?"), choice.message, *results]
    result = await client.chat.completions.create(model=stack.model, messages=history, tools=[WEATHER])
    assert result.choices[0].finish_reason == "stop"


async def test_tools_of_the_helper(client: AsyncOpenAI, stack: Stack) -> None:
    tool = pydantic_function_tool(Weather, name="weather")
    async with client.chat.completions.stream(
        model=stack.model, messages=say("weather?"), tools=[tool], extra_body=script(tool_calls=CALLS)
    ) as stream:
        answer = await stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.parsed_arguments for call in calls] == [Weather(city="Oslo"), Weather(city="Rome")]
    assert len({call.id for call in calls}) == 2
    assert [call.function.name for call in calls] == ["weather", "weather"]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    history: Any = [*say("weather?"), answer.choices[0].message, *results]
    again = await client.chat.completions.create(model=stack.model, messages=history, tools=[tool])
    assert again.choices[0].finish_reason == "stop"


async def test_parse(client: AsyncOpenAI, stack: Stack) -> None:
    body = script(reply='{"text": "one two", "kind": "a"}')
    answer = await client.chat.completions.parse(
        model=stack.model, messages=say("fill it in"), response_format=Step, extra_body=body
    )
    assert answer.choices[0].message.parsed == Step(text="one two", kind="a")
    async with client.chat.completions.stream(
        model=stack.model, messages=say("fill it in"), response_format=Step, extra_body=body
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Step(text="one two", kind="a")


async def test_parse_of_an_answer_that_is_cut(client: AsyncOpenAI, stack: Stack) -> None:
    with pytest.raises(LengthFinishReasonError):
        await client.chat.completions.parse(
            model=stack.model,
            messages=say("fill it in"),
            response_format=Step,
            max_completion_tokens=1,
            extra_body=script(reply='{"text": "one two", "kind": "a"}'),
        )


async def test_completions(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.completions.create(model=stack.model, prompt=["a b", "c"], max_tokens=3, logprobs=1, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].logprobs is not None
    assert answer.object == "text_completion"


async def test_stream_of_completions(stack: Stack) -> None:
    """Not with strict validation: the SDK's type wants a finish reason in every chunk, which OpenAI does not send."""
    async with stack.client(_strict_response_validation=False) as client:
        stream = await client.completions.create(model=stack.model, prompt="a b", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "You said: a b"
