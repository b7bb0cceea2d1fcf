"""Tools with a real model, for engines whose library has parsers of its own.

A module has the fixture `subject`, of demo-chat.
"""

import json
from typing import Any

import pytest

from gpt_server.services.llm.engine import Reasoning, Tool, ToolChoice
from tests.engines.asking import Answer, Subject, ask, greedy, request
from tests.engines.llm_suite import WEATHER as OF_TWO_CITIES

WEATHER = Tool(
    "get_weather",
    "Get the current weather of a city",
    json.dumps({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
)
CITIES = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]


def called(answer: Answer) -> list[tuple[str, Any]]:
    """Returns the calls, their arguments read."""
    return [(name, json.loads(arguments)) for name, arguments in answer.calls()]


@pytest.mark.asyncio(loop_scope="session")
class ToolsSuite:
    """Checks of calls that the model makes."""

    async def test_two_calls_at_once_or_one_alone(self, subject: Subject) -> None:
        for parallel in (True, False):
            says = "What is the weather in Paris and in Rome?"
            wanted = request(says, tools=(WEATHER,), parallel_tool_calls=parallel, sampling=greedy(120))
            answer = await ask(subject.engine, wanted)
            assert called(answer) == CITIES[: 2 if parallel else 1]
            assert answer.finished.choices[0].finish_reason == "tool_calls"
            assert "tool_call" not in answer.text()

    async def test_thinking_comes_before_a_call_that_must_come(self, subject: Subject) -> None:
        wanted = request(
            "What is 27 + 15?",
            tools=(OF_TWO_CITIES,),
            tool_choice=ToolChoice("required"),
            reasoning=Reasoning(enabled=True, max_tokens=40),
            sampling=greedy(200),
        )
        answer = await ask(subject.engine, wanted)
        ((name, arguments),) = called(answer)[:1]
        assert name == "get_weather"
        assert arguments["city"] in ("Paris", "Rome")
        assert answer.reasoning()
        assert "tool_call" not in answer.reasoning() + answer.text()

    async def test_without_tools_to_choose_there_are_no_calls(self, subject: Subject) -> None:
        tools = request("What is the weather in Paris?", tools=(WEATHER,), tool_choice=ToolChoice("none"))
        plain = request("What is the weather in Paris?")
        answers = [await ask(subject.engine, wanted) for wanted in (tools, plain)]
        assert answers[0].calls() == []
        assert answers[0].prompt_token_ids == answers[1].prompt_token_ids
