"""Tools with vLLM: its parsers behind our deltas, whatever a model's dialect and however its text is cut."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser.parser_manager import ParserManager

from gpt_server.services.llm.engine import Delta, Finished, Output, Timings, Usage
from gpt_server.services.llm.engines.vllm import conversation
from gpt_server.services.llm.engines.vllm.choice import Choice
from gpt_server.services.llm.engines.vllm.prompts import Plan
from gpt_server.services.llm.vocabulary import Vocabulary
from tests.engines.asking import Answer, Subject, request
from tests.engines.tools_suite import CITIES, WEATHER, ToolsSuite, called
from tests.with_vllm.llm import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def subject(vllm: Subject) -> Subject:
    return vllm


class TestVLLM(ToolsSuite):
    pass


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
