"""What the SDK's types still have though it is deprecated, and what goes in and out beside them."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.openai.asking import say, script
from tests.openai.conftest import Stack

FUNCTIONS: Any = [{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]
CALLS = [{"name": "weather", "arguments": {"city": "Oslo"}}]


async def test_deprecated_functions(client: AsyncOpenAI, stack: Stack) -> None:
    request: Any = {"model": stack.model, "messages": say("weather?"), "functions": FUNCTIONS}
    answer = await client.chat.completions.create(**request, extra_body=script(tool_calls=CALLS))
    (choice,) = answer.choices
    call = choice.message.function_call
    assert choice.finish_reason == "function_call"
    assert call is not None
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
    history: Any = [*say("weather?"), choice.message, {"role": "function", "name": "weather", "content": "sunny"}]
    again = await client.chat.completions.create(model=stack.model, messages=history, functions=FUNCTIONS)
    assert again.choices[0].finish_reason == "stop"


async def test_deprecated_functions_in_a_stream(client: AsyncOpenAI, stack: Stack) -> None:
    request: Any = {"model": stack.model, "messages": say("weather?"), "functions": FUNCTIONS, "stream": True}
    stream: Any = await client.chat.completions.create(**request, extra_body=script(tool_calls=CALLS))
    chunks = [chunk async for chunk in stream]
    calls = [call for chunk in chunks if (call := chunk.choices[0].delta.function_call) is not None]
    assert [call.name for call in calls if call.name] == ["weather"]
    assert json.loads("".join(call.arguments for call in calls)) == {"city": "Oslo"}
    assert chunks[-1].choices[0].finish_reason == "function_call"


async def test_service_tier(client: AsyncOpenAI, stack: Stack) -> None:
    answer = await client.chat.completions.create(model=stack.model, messages=say("hi"), service_tier="flex")
    assert answer.service_tier == "default"


@pytest.mark.parametrize("prompt", ["one two", [1, 2]])
async def test_scores_of_a_prompt(stack: Stack, prompt: Any) -> None:
    """Not with strict validation: the SDK's types do not have that the first token has no log-probability."""
    async with stack.client(_strict_response_validation=False) as client:
        if not isinstance(prompt, str):
            await client.completions.create(model=stack.model, prompt="one two")  # gives the ids their words
        answer: Any = await client.completions.create(
            model=stack.model, prompt=prompt, echo=True, logprobs=2, max_tokens=2, extra_body={"prompt_logprobs": 2}
        )
    (choice,) = answer.choices
    assert "".join(choice.logprobs.tokens) == choice.text
    assert choice.logprobs.token_logprobs[0] is None
    assert len(choice.prompt_logprobs) == 2


async def test_scores_of_a_conversation(client: AsyncOpenAI, stack: Stack) -> None:
    body = {"prompt_logprobs": 1, "truncate_prompt_tokens": 2, "cache_salt": "mine"}
    answer = await client.chat.completions.create(model=stack.model, messages=say("one two three"), extra_body=body)
    first, second = (answer.model_extra or {})["prompt_logprobs"]
    assert first is None
    assert [score["decoded_token"] for score in second.values()] == [" three"]
