"""Tools and reasoning of the hf engine, held by grammars, so that no test depends on what the model would say."""

import json

import pytest

from gpt_server.services.llm.engine import (
    Chat,
    GenerateRequest,
    Message,
    Part,
    Reasoning,
    StructuredOutput,
    Tool,
    ToolChoice,
)
from tests.engines.asking import Answer, Subject, ask, greedy, request
from tests.engines.llm_suite import PING, SCHEMA, WEATHER

pytestmark = pytest.mark.asyncio(loop_scope="session")

STRICT = Tool(WEATHER.name, WEATHER.description, WEATHER.parameters, strict=True)


async def token(hf: Subject, text: str) -> int:
    """Returns the id of a text that is one token."""
    plan = await hf.engine.prepare(request(text=text))
    (found,) = plan.prompt_token_ids
    return int(found)


def check_weather(answer: Answer) -> None:
    ((name, arguments),) = answer.calls()
    assert name == "get_weather"
    assert json.loads(arguments)["city"] in ("Paris", "Rome")
    assert answer.text() == ""
    assert answer.finished.choices[0].finish_reason == "tool_calls"


async def test_strict_tools_keep_to_their_schema_when_the_model_calls_them(hf: Subject) -> None:
    # The bias makes the model call something; the rest of the call is then up to the grammar.
    bias = {await token(hf, "<tool_call>"): 100.0}
    wanted = request(sampling=greedy(80, logit_bias=bias), tools=(STRICT,), parallel_tool_calls=False)
    check_weather(await ask(hf.engine, wanted))


async def test_allowed_tools_are_the_only_ones_that_can_be_called(hf: Subject) -> None:
    bias = {await token(hf, "<tool_call>"): 100.0}
    for mode in ("auto", "required"):
        wanted = request(
            sampling=greedy(80, logit_bias=bias),
            tools=(WEATHER, PING),
            tool_choice=ToolChoice(mode, ["ping"]),
            parallel_tool_calls=False,
        )
        answer = await ask(hf.engine, wanted)
        assert [name for name, _ in answer.calls()] == ["ping"]


async def test_arguments_of_any_letters(hf: Subject) -> None:
    tool = Tool("find", parameters=json.dumps({"properties": {"what": {"enum": ["Käfer"]}}, "required": ["what"]}))
    wanted = request(sampling=greedy(80), tools=(tool,), tool_choice=ToolChoice("required"), parallel_tool_calls=False)
    ((_, arguments),) = (await ask(hf.engine, wanted)).calls()
    assert json.loads(arguments) == {"what": "Käfer"}
    form = StructuredOutput(json_schema='{"enum": ["Käfer"]}')
    assert (await ask(hf.engine, request(sampling=greedy(20), structured_output=form))).text() == '"Käfer"'


async def test_parallel_calls(hf: Subject) -> None:
    not_yet = dict.fromkeys(hf.details.eos_token_ids, -100.0)
    wanted = request(sampling=greedy(60, logit_bias=not_yet), tools=(PING,), tool_choice=ToolChoice("required"))
    calls = (await ask(hf.engine, wanted)).calls()
    assert len(calls) > 1
    assert {name for name, _ in calls} == {"ping"}


async def test_a_call_that_is_cut_off_ends_by_length(hf: Subject) -> None:
    def wanted(max_tokens: int) -> GenerateRequest:
        return request(sampling=greedy(max_tokens), tools=(WEATHER,), tool_choice=ToolChoice("required"))

    whole = await ask(hf.engine, wanted(200))
    answer = await ask(hf.engine, wanted(whole.finished.usage.completion_tokens - 4))
    assert answer.text() == ""
    assert [name for name, _ in answer.calls()] == [name for name, _ in whole.calls()]
    assert answer.finished.choices[0].finish_reason == "length"


async def test_tools_are_not_shown_when_they_may_not_be_called(hf: Subject) -> None:
    bias = {await token(hf, "<tool_call>"): 100.0}
    choice = ToolChoice("none")
    with_tools = request(sampling=greedy(4, logit_bias=bias), tools=(WEATHER,), tool_choice=choice)
    answer = await ask(hf.engine, with_tools)
    assert answer.prompt_token_ids == list((await hf.engine.prepare(request())).prompt_token_ids)
    assert answer.text() == "<tool_call>" * 4


async def test_with_tools_a_form_holds_for_the_answer_and_not_for_calls(hf: Subject) -> None:
    form = StructuredOutput(json_schema=json.dumps(SCHEMA))
    forced = {await token(hf, "<tool_call>"): 100.0}
    call = request(sampling=greedy(80, logit_bias=forced), tools=(WEATHER,), structured_output=form)
    answer = await ask(hf.engine, call)
    assert {name for name, _ in answer.calls()} == {"get_weather"}
    forbidden = {await token(hf, "<tool_call>"): -100.0, await token(hf, "<"): -100.0}
    wanted = request(sampling=greedy(80, logit_bias=forbidden), tools=(WEATHER,), structured_output=form)
    assert json.loads((await ask(hf.engine, wanted)).text())["size"] in ("small", "large")


async def test_thinking_comes_before_a_required_call(hf: Subject) -> None:
    bias = {await token(hf, "<think>"): 30.0}
    wanted = request(
        sampling=greedy(150, logit_bias=bias),
        tools=(WEATHER,),
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        reasoning=Reasoning(enabled=True, max_tokens=8),
    )
    answer = await ask(hf.engine, wanted)
    check_weather(answer)
    assert answer.finished.usage.reasoning_tokens == 8 + 1
    assert "think>" not in answer.text()


@pytest.mark.parametrize("budget", [0, 1, 5])
async def test_thinking_ends_at_its_budget(hf: Subject, budget: int) -> None:
    bias = {await token(hf, "<think>"): 100.0}
    wanted = request(
        sampling=greedy(20, logit_bias=bias, ignore_eos=True), reasoning=Reasoning(enabled=True, max_tokens=budget)
    )
    answer = await ask(hf.engine, wanted)
    # The opening tag is the first token of the reasoning; one more closes it.
    spent = max(budget, 1)
    assert answer.token_ids().index(await token(hf, "</think>")) == spent
    assert answer.finished.usage.reasoning_tokens == spent + 1
    assert answer.reasoning() == "<think>" * (spent - 1)


async def test_the_final_message_is_continued(hf: Subject) -> None:
    chat = Chat(
        [Message("user", [Part(text="Who are you?")]), Message("assistant", [Part(text="I am")])],
        continue_final_message=True,
    )
    answer = await ask(hf.engine, request(chat=chat))
    assert (await hf.engine.detokenize(answer.prompt_token_ids)).endswith("I am")


async def test_a_prompt_that_ends_inside_the_reasoning_goes_on_there(hf: Subject) -> None:
    bias = {await token(hf, "</think>"): 100.0}
    for begun, inside in (("<think>\nHm", True), ("<think>\nHm\n</think>\n\nI", False), ("I", False)):
        turns = [Message("user", [Part(text="Hi")]), Message("assistant", [Part(text=begun)])]
        chat = Chat(turns, continue_final_message=True)
        answer = await ask(hf.engine, request(chat=chat, sampling=greedy(1, logit_bias=bias)))
        assert answer.finished.usage.reasoning_tokens == inside
        assert answer.text() == ("" if inside else "</think>")


async def test_text_prompts_are_not_parsed(hf: Subject) -> None:
    bias = {await token(hf, "<think>"): 100.0}
    answer = await ask(hf.engine, request(text="Hello", sampling=greedy(3, logit_bias=bias)))
    assert answer.text() == "<think>" * 3
    assert answer.finished.usage.reasoning_tokens is None
