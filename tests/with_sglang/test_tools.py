"""Tools with SGLang: its parsers behind our deltas, whatever a model's dialect."""

from typing import Any

import pytest
from transformers import AutoTokenizer

from gpt_server.services.llm.choice import Choice
from gpt_server.services.llm.engine import Finished, Output, Timings, Usage
from gpt_server.services.llm.engines.sglang.parsers import Calls
from gpt_server.services.llm.text import Detokenizer
from gpt_server.services.llm.vocabulary import Vocabulary
from tests.engines.asking import Answer, Subject, request
from tests.engines.tools_suite import CITIES, WEATHER, ToolsSuite, called
from tests.with_sglang.llm import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def subject(sglang: Subject) -> Subject:
    return sglang


class TestSGLang(ToolsSuite):
    pass


#: Two calls as models write them that have other dialects than demo-chat.
DIALECTS = {
    "hermes": "".join(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>\n'
        for city in ("Paris", "Rome")
    ),
    "qwen25": "\n".join(
        f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}\n</tool_call>'
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
    "llama3": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}};'
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
    choice = Choice(0, wanted, text, calls=Calls(dialect, tokenizer, wanted.chat))
    outputs = []
    for token in tokenizer.encode(DIALECTS[dialect], add_special_tokens=False):
        choice.push(token)
        outputs.append(Output([delta for delta in (choice.take(),) if delta]))
    finish = choice.end("stop")
    outputs.append(Output([delta for delta in (choice.take(),) if delta]))
    assert finish.finish_reason == "tool_calls"
    return Answer([1], Finished([finish], Usage(1, 1), Timings()), outputs)
