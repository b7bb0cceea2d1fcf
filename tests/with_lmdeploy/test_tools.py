"""Tools with LMDeploy: its parsers behind our deltas, whatever a model's dialect."""

import json
from typing import Any

import pytest
from transformers import AutoTokenizer

from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import Finished, Output, Reasoning, Timings, Tool, ToolChoice, Usage
from gpt_server.services.llm.engines.lmdeploy.parsers import calls
from gpt_server.services.llm.text import Detokenizer
from gpt_server.services.llm.vocabulary import Vocabulary
from tests.engines.asking import Answer, Subject, ask, greedy, request
from tests.engines.llm_suite import WEATHER as OF_TWO_CITIES
from tests.with_lmdeploy.llm import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEATHER = Tool(
    "get_weather",
    "Get the current weather of a city",
    json.dumps({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
)
CITIES = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]


def called(answer: Answer) -> list[tuple[str, Any]]:
    """Returns the calls, their arguments read."""
    return [(name, json.loads(arguments)) for name, arguments in answer.calls()]


async def test_two_calls_at_once_or_one_alone(lmdeploy: Subject) -> None:
    for parallel in (True, False):
        says = "What is the weather in Paris and in Rome?"
        wanted = request(says, tools=(WEATHER,), parallel_tool_calls=parallel, sampling=greedy(120))
        answer = await ask(lmdeploy.engine, wanted)
        assert called(answer) == CITIES[: 2 if parallel else 1]
        assert answer.finished.choices[0].finish_reason == "tool_calls"
        assert "tool_call" not in answer.text()


async def test_thinking_comes_before_a_call_that_must_come(lmdeploy: Subject) -> None:
    wanted = request(
        "What is 27 + 15?",
        tools=(OF_TWO_CITIES,),
        tool_choice=ToolChoice("required"),
        reasoning=Reasoning(enabled=True, max_tokens=40),
        sampling=greedy(200),
    )
    answer = await ask(lmdeploy.engine, wanted)
    ((name, arguments),) = called(answer)[:1]
    assert name == "get_weather"
    assert arguments["city"] in ("Paris", "Rome")
    assert answer.reasoning()
    assert "tool_call" not in answer.reasoning() + answer.text()


async def test_without_tools_to_choose_there_are_no_calls(lmdeploy: Subject) -> None:
    tools = request("What is the weather in Paris?", tools=(WEATHER,), tool_choice=ToolChoice("none"))
    plain = request("What is the weather in Paris?")
    answers = [await ask(lmdeploy.engine, wanted) for wanted in (tools, plain)]
    assert answers[0].calls() == []
    assert answers[0].prompt_token_ids == answers[1].prompt_token_ids


#: Two calls as models write them that have other dialects than demo-chat.
DIALECTS = {
    "hermes": "".join(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>\n'
        for city in ("Paris", "Rome")
    ),
    "qwen3": "\n".join(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
        for city in ("Paris", "Rome")
    ),
    "qwen3coder": "\n".join(
        f"<tool_call>\n<function=get_weather>\n<parameter=city>\n{city}\n</parameter>\n</function>\n</tool_call>"
        for city in ("Paris", "Rome")
    ),
    "glm47": "\n".join(
        f"<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>{city}</arg_value>\n</tool_call>"
        for city in ("Paris", "Rome")
    ),
    "internlm": "\n".join(
        f'<|action_start|><|plugin|>\n{{"name": "get_weather", "parameters": {{"city": "{city}"}}}}<|action_end|>'
        for city in ("Paris", "Rome")
    ),
    "kimi_k2": "<|tool_calls_section_begin|>"
    + "".join(
        f"<|tool_call_begin|>functions.get_weather:{at}<|tool_call_argument_begin|>"
        f'{{"city": "{city}"}}<|tool_call_end|>'
        for at, city in enumerate(("Paris", "Rome"))
    )
    + "<|tool_calls_section_end|>",
    "llama3_json": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}};'
    '{"name": "get_weather", "parameters": {"city": "Rome"}}',
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHAT)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_dialects(tokenizer: Any, dialect: str) -> None:
    assert called(played(tokenizer, dialect, one=False)) == CITIES


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_one_call_is_let_through_if_there_may_be_one(tokenizer: Any, dialect: str) -> None:
    assert called(played(tokenizer, dialect, one=True)) == CITIES[:1]


def played(tokenizer: Any, dialect: str, one: bool) -> Answer:
    """Returns what comes of a dialect's text, token by token."""
    wanted = request(tools=(WEATHER,), parallel_tool_calls=not one)
    assert wanted.chat is not None
    vocabulary = Vocabulary.of(tokenizer, len(tokenizer))
    text = Detokenizer(vocabulary.token_bytes.__getitem__)
    choice = Choice(0, wanted, text, calls=calls(dialect, wanted.chat))
    outputs = []
    for token in tokenizer.encode(DIALECTS[dialect], add_special_tokens=False):
        choice.push(token)
        outputs.append(Output([delta for delta in (choice.take(),) if delta]))
        if choice.called_enough:
            break
    finish = choice.end("stop")
    outputs.append(Output([delta for delta in (choice.take(),) if delta]))
    assert finish.finish_reason == "tool_calls"
    return Answer([1], Finished([finish], Usage(1, 1), Timings()), outputs)
