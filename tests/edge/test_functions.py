"""OpenAI's deprecated functions, which are tools behind the edge: whole and streamed."""

import json
from typing import Any

import httpx2
import pytest

from tests.edge.asking import chat
from tests.support.raw import events_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

FUNCTIONS = [{"name": name, "parameters": {"type": "object"}} for name in ("f", "g")]
CALLS = [{"name": "g", "arguments": {"x": "two words"}}, {"name": "f", "arguments": {}}]
ASKED = chat(functions=FUNCTIONS, fake={"tool_calls": CALLS})


async def test_a_call(shared: httpx2.AsyncClient) -> None:
    (choice,) = (await shared.post("/v1/chat/completions", json=ASKED)).json()["choices"]
    call = choice["message"].pop("function_call")
    assert (call["name"], json.loads(call["arguments"])) == ("g", {"x": "two words"})
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None}
    assert choice["finish_reason"] == "function_call"


async def test_a_call_that_is_streamed(shared: httpx2.AsyncClient) -> None:
    events = events_of((await shared.post("/v1/chat/completions", json=ASKED | {"stream": True})).content)
    deltas = [event["choices"][0]["delta"] for event in events]
    calls = [delta["function_call"] for delta in deltas if "function_call" in delta]
    assert [call.get("name") for call in calls] == ["g"] + [None] * (len(calls) - 1)
    assert json.loads("".join(call["arguments"] for call in calls)) == {"x": "two words"}
    assert not any("tool_calls" in delta for delta in deltas)
    assert [event["choices"][0]["finish_reason"] for event in events][-1] == "function_call"


@pytest.mark.parametrize(
    ("wanted", "called"), [({"name": "g"}, "g"), ({"name": "f"}, "f"), ("auto", None), ("none", None)]
)
async def test_choices(shared: httpx2.AsyncClient, wanted: Any, called: str | None) -> None:
    body = chat(functions=FUNCTIONS, function_call=wanted)
    (choice,) = (await shared.post("/v1/chat/completions", json=body)).json()["choices"]
    assert choice["message"].get("function_call", {}).get("name") == called
    assert choice["finish_reason"] == ("function_call" if called else "stop")


async def test_the_result_goes_back(shared: httpx2.AsyncClient) -> None:
    message = (await shared.post("/v1/chat/completions", json=ASKED)).json()["choices"][0]["message"]
    body = chat("How much?", functions=FUNCTIONS)
    body["messages"] += [message, {"role": "function", "name": "g", "content": "four"}]
    answer = await shared.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
