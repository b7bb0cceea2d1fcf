"""What each client makes of an answer."""

import json
from typing import Any

import pytest

from tests.clients.conftest import CHAT, DEMO_MODELS, FAKE, VECTORS, script
from tests.clients.marks import clients
from tests.clients.program import Program

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREEDY = {"options": {"temperature": 0}}
SUM = {"model": CHAT, "say": "What is 27 + 15?", **GREEDY}
WEATHER = {"model": CHAT, "say": "What is the weather in Paris?", "tools": True, **GREEDY}
SCORES = {"temperature": 0, "logprobs": True, "top_logprobs": 2}


def calls_of(reply: Any) -> list[Any]:
    """Names and arguments of the calls in an answer; some clients have read the arguments already."""
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert all(call["id"] for call in choice["calls"])
    assert len({call["id"] for call in choice["calls"]}) == len(choice["calls"])
    arguments = [call["arguments"] for call in choice["calls"]]
    read = [json.loads(text) if isinstance(text, str) else text for text in arguments]
    return list(zip([call["name"] for call in choice["calls"]], read, strict=True))


@clients()
async def test_chat(client: Program) -> None:
    reply = await client.answer("chat", **SUM)
    (choice,) = reply["choices"]
    assert "42" in choice["text"]
    assert choice["finish_reason"] == "stop"
    assert all(tokens > 0 for tokens in reply["usage"])


@clients()
async def test_streamed_is_the_same_as_whole(client: Program) -> None:
    """Text, finish reason and usage."""
    whole, streamed = await client.answer("chat", **SUM), await client.answer("stream", **SUM)
    assert streamed["pieces"] > 1
    assert (streamed["choices"], streamed["usage"]) == (whole["choices"], whole["usage"])


@clients()
async def test_name_with_a_slash(client: Program) -> None:
    reply = await client.answer("chat", model=FAKE, say="hello")
    assert reply["choices"][0]["text"] == "You said: hello"


@clients()
@pytest.mark.parametrize("verb", ["chat", "stream"])
async def test_tool_is_called(client: Program, verb: str) -> None:
    assert calls_of(await client.answer(verb, **WEATHER)) == [("get_weather", {"city": "Paris"})]


@clients()
@pytest.mark.parametrize("verb", ["chat", "stream"])
async def test_two_tools_are_called(client: Program, verb: str) -> None:
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Oslo", "New York City")]
    reply = await client.answer(verb, model=FAKE, say="x", tools=True, extra=script(tool_calls=calls))
    assert calls_of(reply) == [(call["name"], call["arguments"]) for call in calls]


@clients()
async def test_result_of_a_tool_is_answered(client: Program) -> None:
    reply = await client.answer("use_tool", **WEATHER)
    assert "21" in reply["choices"][0]["text"]
    assert reply["choices"][0]["finish_reason"] == "stop"


@clients(of="openai")
async def test_vectors_are_the_same_in_whatever_encoding(client: Program) -> None:
    """The SDKs ask for base64 unasked, and read it: a mistake in the order of bytes would be other numbers."""
    request = {"model": VECTORS, "texts": ["one two", "three"]}
    unasked = await client.answer("embed", **request)
    floats = await client.answer("embed", **request, options={"encoding_format": "float"})
    assert unasked == floats
    assert unasked["tokens"] == 3
    assert [len(vector) for vector in unasked["vectors"]] == [16, 16]
    assert all(abs(sum(number**2 for number in vector) - 1) < 1e-5 for vector in unasked["vectors"])
    shorter = await client.answer("embed", **request, options={"dimensions": 8})
    assert [len(vector) for vector in shorter["vectors"]] == [8, 8]


@clients()
async def test_answer_has_the_form_asked_for(client: Program) -> None:
    request = {"model": CHAT, "say": "Extract the name and age: Alice is 30 years old.", **GREEDY}
    reply = await client.answer("parse", **request)
    assert reply["parsed"] == {"name": "Alice", "age": 30}


@clients("reasoning")
@pytest.mark.parametrize("verb", ["chat", "stream"])
async def test_reasoning_is_apart_from_the_answer(client: Program, verb: str) -> None:
    reply = await client.answer(verb, **SUM, extra={"chat_template_kwargs": {"enable_thinking": True}})
    (choice,) = reply["choices"]
    assert "42" in choice["text"]
    assert len(choice["reasoning"].split()) > 1
    assert "think>" not in choice["text"] + choice["reasoning"]


@clients("logprobs")
async def test_logprobs(client: Program) -> None:
    reply = await client.answer("chat", **SUM | {"options": SCORES})
    assert "".join(reply["choices"][0]["tokens"]) == reply["choices"][0]["text"]


@clients("logprobs streamed")
async def test_logprobs_in_a_stream(client: Program) -> None:
    reply = await client.answer("stream", **SUM | {"options": SCORES})
    assert "".join(reply["choices"][0]["tokens"]) == reply["choices"][0]["text"]


@clients("several")
async def test_several_choices(client: Program) -> None:
    reply = await client.answer("chat", **SUM | {"options": {"temperature": 0, "n": 2}})
    assert ["42" in choice["text"] for choice in reply["choices"]] == [True, True]


@clients("several streamed")
async def test_several_choices_in_a_stream(client: Program) -> None:
    reply = await client.answer("stream", **SUM | {"options": {"temperature": 0, "n": 2}})
    assert ["42" in choice["text"] for choice in reply["choices"]] == [True, True]
    assert [choice["finish_reason"] for choice in reply["choices"]] == ["stop", "stop"]


@clients("models")
async def test_models(client: Program) -> None:
    reply = await client.answer("models", model=FAKE)
    assert {*DEMO_MODELS, FAKE, VECTORS} == set(reply["listed"])
    assert reply["one"] == FAKE
