"""Tools with vLLM: its parsers behind our deltas, whatever a model's dialect and however its text is cut."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.parser_manager import ParserManager

from gpt_server.services.llm.engine import Delta, Finished, Output, Reasoning, Timings, Tool, ToolChoice, Usage
from gpt_server.services.llm.engines.vllm import conversation
from gpt_server.services.llm.engines.vllm.choice import Choice
from gpt_server.services.llm.engines.vllm.prompts import Plan
from gpt_server.services.llm.vocabulary import Vocabulary
from tests.engines.asking import Answer, Subject, ask, greedy, request
from tests.engines.llm_suite import WEATHER as OF_TWO_CITIES
from tests.with_vllm.llm import CHAT

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


async def test_two_calls_at_once_or_one_alone(vllm: Subject) -> None:
    for parallel in (True, False):
        says = "What is the weather in Paris and in Rome?"
        wanted = request(says, tools=(WEATHER,), parallel_tool_calls=parallel, sampling=greedy(120))
        answer = await ask(vllm.engine, wanted)
        assert called(answer) == CITIES[: 2 if parallel else 1]
        assert answer.finished.choices[0].finish_reason == "tool_calls"
        assert "tool_call" not in answer.text()


async def test_thinking_comes_before_a_call_that_must_come(vllm: Subject) -> None:
    wanted = request(
        "What is 27 + 15?",
        tools=(OF_TWO_CITIES,),
        tool_choice=ToolChoice("required"),
        reasoning=Reasoning(enabled=True, max_tokens=40),
        sampling=greedy(200),
    )
    answer = await ask(vllm.engine, wanted)
    ((name, arguments),) = called(answer)[:1]
    assert name == "get_weather"
    assert arguments["city"] in ("Paris", "Rome")
    assert answer.reasoning()
    assert "tool_call" not in answer.reasoning() + answer.text()


async def test_without_tools_to_choose_there_are_no_calls(vllm: Subject) -> None:
    tools = request("What is the weather in Paris?", tools=(WEATHER,), tool_choice=ToolChoice("none"))
    plain = request("What is the weather in Paris?")
    answers = [await ask(vllm.engine, wanted) for wanted in (tools, plain)]
    assert answers[0].calls() == []
    assert answers[0].prompt_token_ids == answers[1].prompt_token_ids


#: Two calls as models write them that have other dialects than demo-chat.
DIALECTS = {
    "hermes": "".join(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>\n'
        for city in ("Paris", "Rome")
    ),
    "qwen3_coder": "\n".join(
        f"<tool_call>\n<function=get_weather>\n<parameter=city>\n{city}\n</parameter>\n</function>\n</tool_call>"
        for city in ("Paris", "Rome")
    ),
    "glm45": "\n".join(
        f"<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>{city}</arg_value>\n</tool_call>"
        for city in ("Paris", "Rome")
    ),
    "pythonic": '[get_weather(city="Paris"), get_weather(city="Rome")]',
    "granite": '<tool_call>[{"name": "get_weather", "arguments": {"city": "Paris"}}, '
    '{"name": "get_weather", "arguments": {"city": "Rome"}}]',
    "longcat": "".join(
        f'<longcat_tool_call>{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}</longcat_tool_call>'
        for city in ("Paris", "Rome")
    ),
    "minimax_m2": "<minimax:tool_call>"
    + "".join(
        f'<invoke name="get_weather"><parameter name="city">{city}</parameter></invoke>' for city in ("Paris", "Rome")
    )
    + "</minimax:tool_call>",
    "xlam": '[{"name": "get_weather", "arguments": {"city": "Paris"}}, '
    '{"name": "get_weather", "arguments": {"city": "Rome"}}]',
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHAT)


@pytest.mark.parametrize("size", [1, 3, 1000], ids=["token by token", "three by three", "whole"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_dialects(tokenizer: Any, dialect: str, size: int) -> None:
    assert called(played(tokenizer, dialect, size, one=False)) == CITIES


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_one_call_is_let_through_if_there_may_be_one(tokenizer: Any, dialect: str) -> None:
    assert called(played(tokenizer, dialect, 1, one=True)) == CITIES[:1]


def played(tokenizer: Any, dialect: str, size: int, one: bool) -> Answer:
    """Returns what comes of a dialect's text, `size` tokens in a piece, as vLLM would hand it over."""
    wanted = request(tools=(WEATHER,), parallel_tool_calls=not one)
    assert wanted.chat is not None
    chat_request = ChatCompletionRequest(
        messages=[{"role": "user", "content": "x"}], tools=conversation.tools(wanted.chat), tool_choice="auto"
    )
    kind = ParserManager.get_parser(dialect, None, True, "test", tokenizer=tokenizer)
    assert kind is not None
    plan = Plan(wanted, [1], None, SimpleNamespace(skip_special_tokens=False), chat_request)
    choice = Choice(plan, 0, kind(tokenizer, chat_request.tools), Vocabulary.of(tokenizer, len(tokenizer)))
    ids = tokenizer.encode(DIALECTS[dialect], add_special_tokens=False)
    pieces = [ids[at : at + size] for at in range(0, len(ids), size)]
    deltas: list[Delta] = []
    for piece in [*pieces, []]:
        done = not piece
        output = SimpleNamespace(text=tokenizer.decode(piece), token_ids=piece or [2], logprobs=None, stop_reason=None)
        output.finish_reason = "stop" if done else None
        if delta := choice.take(output):
            deltas.append(delta)
    assert choice.finish is not None
    assert choice.finish.finish_reason == "tool_calls"
    finished = Finished([choice.finish], Usage(1, choice.sampled), Timings())
    return Answer([1], finished, [Output(deltas)])
