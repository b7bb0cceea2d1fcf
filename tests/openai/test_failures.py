"""Failures: the exception that the SDK raises, what it repeats, and what happens when its user leaves."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.openai.asking import say, script
from tests.openai.conftest import Stack

LIMIT_S = 10.0  # only so that a failure ends


class Counting(httpx2.AsyncHTTPTransport):
    """A transport that notes how each request was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[int] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request."""
        response = await super().handle_async_request(request)
        self.statuses.append(response.status_code)
        return response


@pytest.mark.parametrize(
    ("fields", "error", "code", "param"),
    [
        ({"temperature": 9}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"messages": []}, openai.BadRequestError, "invalid_value", "messages"),
        ({"web_search_options": {}}, openai.BadRequestError, "unsupported_parameter", "web_search_options"),
        ({"extra_body": {"top_q": 1}}, openai.BadRequestError, "unsupported_parameter", "top_q"),
        ({"messages": say("word " * 5000)}, openai.BadRequestError, "context_length_exceeded", None),
        ({"model": "nope"}, openai.NotFoundError, "model_not_found", "model"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_exceptions(
    client: AsyncOpenAI,
    stack: Stack,
    fields: dict[str, Any],
    error: type[openai.APIStatusError],
    code: str,
    param: Any,
    stream: bool,
) -> None:
    request: Any = {"model": stack.model, "messages": say("hi"), "stream": stream} | fields
    with pytest.raises(error) as caught:
        await client.chat.completions.create(**request)
    assert (caught.value.code, caught.value.type, caught.value.param) == (code, "invalid_request_error", param)
    assert caught.value.request_id is not None


async def test_context_overflow_is_recognised(client: AsyncOpenAI, stack: Stack) -> None:
    """LangChain looks for the one phrase in the text, LiteLLM for the other."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model=stack.model, messages=say("word " * 5000))
    assert "context_length_exceeded" in str(caught.value)
    assert "This model's maximum context length is" in str(caught.value)


async def test_a_wrong_key(stack: Stack) -> None:
    async with stack.client(api_key="sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
    assert caught.value.code == "invalid_api_key"


async def test_a_route_that_is_not_served(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not serve it yet"):
        await client.responses.create(model="m", input="x")


@pytest.mark.parametrize("fault", ["fail_after", "crash_after"])
async def test_a_stream_that_breaks(client: AsyncOpenAI, stack: Stack, fault: str) -> None:
    stream = await client.chat.completions.create(
        model=stack.model, messages=say("hi"), stream=True, extra_body=script(tokens=5, **{fault: 2})
    )
    texts: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            texts.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError) as caught:
        await read()
    assert len("".join(texts).split()) == 2
    assert caught.value.type == "server_error"


async def test_an_answer_that_breaks(client: AsyncOpenAI, stack: Stack) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(
            model=stack.model, messages=say("hi"), extra_body=script(tokens=5, fail_after=2)
        )
    assert (caught.value.status_code, caught.value.code) == (503, "engine_unavailable")


async def test_overload_is_repeated_until_there_is_room(stack: Stack) -> None:
    admission = stack.service.admissions[stack.model]
    tickets = [admission.enter() for _ in range(3)]
    transport = Counting()
    async with stack.client(max_retries=3, http_client=httpx2.AsyncClient(transport=transport)) as client:
        asking = asyncio.ensure_future(client.chat.completions.create(model=stack.model, messages=say("hi")))
        async with asyncio.timeout(LIMIT_S):
            while not transport.statuses:
                await asyncio.sleep(0.01)  # the SDK has no event for it
            for ticket in tickets:
                admission.leave(ticket)
            answer = await asking
    assert transport.statuses[0] == 429
    assert transport.statuses[-1] == 200
    assert answer.choices[0].message.content == "You said: hi"


async def test_overload_without_repeating(client: AsyncOpenAI, stack: Stack) -> None:
    admission = stack.service.admissions[stack.model]
    tickets = [admission.enter() for _ in range(3)]
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model=stack.model, messages=say("hi"))
    for ticket in tickets:
        admission.leave(ticket)
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60


async def test_a_deadline_is_not_repeated(stack: Stack) -> None:
    transport = Counting()
    async with stack.client(max_retries=2, http_client=httpx2.AsyncClient(transport=transport)) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(
                model=stack.model,
                messages=say("hi"),
                extra_headers={"x-request-timeout": "0.05"},
                extra_body=script(prefill_s=60),
            )
    assert caught.value.status_code == 504
    assert transport.statuses == [504]


async def test_leaving_a_stream_frees_the_slot(client: AsyncOpenAI, stack: Stack) -> None:
    engine, admission = stack.service.engines[stack.model], stack.service.admissions[stack.model]
    stream = await client.chat.completions.create(
        model=stack.model, messages=say("hi"), stream=True, extra_body=script(tokens=4000, token_s=0.001)
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert admission.running == 1
    await stream.close()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps < 4000


async def test_giving_up_on_an_answer_frees_the_slot(client: AsyncOpenAI, stack: Stack) -> None:
    engine, admission = stack.service.engines[stack.model], stack.service.admissions[stack.model]
    engine.gates["prefill"].shut()
    asking = asyncio.ensure_future(client.chat.completions.create(model=stack.model, messages=say("hi")))
    await asyncio.wait_for(engine.gates["prefill"].reached.wait(), LIMIT_S)
    asking.cancel()
    async with asyncio.timeout(LIMIT_S):
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps == 0
