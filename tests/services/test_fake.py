"""The fake engine answers as scripted, and honours what a request asks for as a real one would."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gpt_server.services.common.errors import (
    ContextLengthExceeded,
    EngineUnavailable,
    InvalidField,
    ServiceError,
    UnsupportedFeature,
)
from gpt_server.services.llm.engine import (
    Chat,
    Delta,
    EngineConfig,
    Finished,
    GenerateRequest,
    Media,
    Message,
    Part,
    Reasoning,
    Sampling,
    StructuredOutput,
    TokenizeRequest,
    Tool,
    ToolChoice,
)
from gpt_server.services.llm.engines.fake import FakeEngine

NO_OPTIONS = Sampling()


@pytest.fixture
def engine() -> FakeEngine:
    """An engine with a small context window."""
    return FakeEngine(EngineConfig("none", engine_args={"max_context_tokens": 50}))


def scripted(options: Sampling = NO_OPTIONS, text: str = "hi there", **fake: Any) -> GenerateRequest:
    """A chat with a script."""
    chat = Chat([Message("user", [Part(text=text)])], template_args_json=json.dumps({"fake": fake}))
    return GenerateRequest("id", "m", chat=chat, sampling=options)


def asked(text: str = "hi", **fields: Any) -> GenerateRequest:
    """A chat without a script."""
    chat = {name: fields.pop(name) for name in ("tools", "tool_choice", "parallel_tool_calls") if name in fields}
    return GenerateRequest("id", "m", chat=Chat([Message("user", [Part(text=text)])], **chat), **fields)


async def answer(engine: FakeEngine, request: GenerateRequest) -> tuple[list[Delta], Finished]:
    """All deltas, and the end."""
    outputs = [output async for output in engine.generate(await engine.prepare(request))]
    assert [output.finished is not None for output in outputs] == [False] * (len(outputs) - 1) + [True]
    assert outputs[-1].finished
    return [delta for output in outputs for delta in output.deltas], outputs[-1].finished


def content(deltas: Sequence[Delta], choice: int = 0) -> str:
    """The text of a choice."""
    return "".join(delta.content for delta in deltas if delta.choice == choice)


async def test_the_default_answer_is_an_echo_word_by_word(engine: FakeEngine) -> None:
    deltas, finished = await answer(engine, asked("hi there"))
    assert [delta.content for delta in deltas] == ["You", " said:", " hi", " there"]
    assert (finished.usage.prompt_tokens, finished.usage.completion_tokens) == (2, 4)
    assert finished.choices[0].finish_reason == "stop"


async def test_text_prompts_may_be_scripts_too(engine: FakeEngine) -> None:
    prompt = '{"fake": {"reply": "as told"}}'
    assert content((await answer(engine, GenerateRequest("id", "m", text=prompt)))[0]) == "as told"
    assert content((await answer(engine, GenerateRequest("id", "m", text="{plain}")))[0]) == "You said: {plain}"


async def test_token_prompts_are_those_of_the_vocabulary(engine: FakeEngine) -> None:
    tokens = await engine.tokenize(TokenizeRequest("m", text="a b", return_token_strings=True))
    assert tokens.token_strings == ["a", " b"]
    _, finished = await answer(engine, GenerateRequest("id", "m", token_ids=tokens.token_ids))
    assert finished.usage.prompt_tokens == 2
    with pytest.raises(InvalidField, match="in the vocabulary") as refused:
        await engine.prepare(GenerateRequest("id", "m", token_ids=[1, 99]))
    assert refused.value.field == "token_ids.ids[1]"


async def test_reasoning_comes_first_and_can_be_turned_off_or_limited(engine: FakeEngine) -> None:
    request = scripted(reasoning="well let me think", reply="done")
    deltas, finished = await answer(engine, request)
    assert [(delta.reasoning, delta.content) for delta in deltas][3:] == [(" think", ""), ("", "done")]
    assert (finished.usage.reasoning_tokens, finished.usage.completion_tokens) == (4, 5)
    for wish, words in ((Reasoning(enabled=False), 0), (Reasoning(effort="none"), 0), (Reasoning(max_tokens=2), 2)):
        _, finished = await answer(engine, GenerateRequest("id", "m", chat=request.chat, reasoning=wish))
        assert finished.usage.reasoning_tokens == words


async def test_tool_calls_come_in_fragments(engine: FakeEngine) -> None:
    calls = [{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "sub"}]
    deltas, finished = await answer(engine, scripted(tool_calls=calls))
    fragments = [call for delta in deltas for call in delta.tool_calls]
    assert [call.name for call in fragments if call.id] == ["add", "sub"]
    assert len({call.id for call in fragments if call.id}) == 2
    assert json.loads("".join(call.arguments for call in fragments if call.index == 0)) == {"a": 1, "b": 2}
    assert finished.choices[0].finish_reason == "tool_calls"


async def test_required_tools_are_called_and_parallel_calls_can_be_forbidden(engine: FakeEngine) -> None:
    choice = ToolChoice("required", ["sub"])
    deltas, _ = await answer(engine, asked(tools=[Tool("add"), Tool("sub")], tool_choice=choice))
    assert [call.name for delta in deltas for call in delta.tool_calls if call.id] == ["sub"]
    script = json.dumps({"fake": {"tool_calls": [{"name": "add"}, {"name": "sub"}]}})
    chat = Chat([Message("user", [Part(text="hi")])], template_args_json=script, parallel_tool_calls=False)
    deltas, _ = await answer(engine, GenerateRequest("id", "m", chat=chat))
    assert [call.name for delta in deltas for call in delta.tool_calls if call.id] == ["add"]


STOPS = [
    (Sampling(stop=["three"]), "one two ", 3, "three"),
    (Sampling(stop=["three"], include_stop_str_in_output=True), "one two three", 3, "three"),
    (Sampling(stop=["o th"]), "one tw", 3, "o th"),
    (Sampling(stop=["four", "two"]), "one ", 2, "two"),
    (Sampling(stop=["two"], min_tokens=2), "one two three four", 4, None),
    (Sampling(stop=["nowhere"]), "one two three four", 4, None),
]


@pytest.mark.parametrize(("options", "text", "sampled", "stop"), STOPS)
async def test_stop_strings(engine: FakeEngine, options: Sampling, text: str, sampled: int, stop: str | None) -> None:
    deltas, finished = await answer(engine, scripted(options, reply="one two three four"))
    assert content(deltas) == text
    assert (finished.usage.completion_tokens, finished.choices[0].stop) == (sampled, stop)
    assert finished.choices[0].finish_reason == "stop"


async def test_stop_tokens_are_sampled_and_not_shown(engine: FakeEngine) -> None:
    (_, two) = (await engine.tokenize(TokenizeRequest("m", text="one two"))).token_ids
    deltas, finished = await answer(engine, scripted(Sampling(stop_token_ids=[two]), reply="one two three"))
    assert content(deltas) == "one"
    assert (finished.usage.completion_tokens, finished.choices[0].stop_token_id) == (2, two)


async def test_lengths(engine: FakeEngine) -> None:
    deltas, finished = await answer(engine, scripted(Sampling(max_tokens=2), reply="one two three"))
    assert (content(deltas), finished.choices[0].finish_reason) == ("one two", "length")
    deltas, _ = await answer(engine, scripted(Sampling(min_tokens=5), reply="one"))
    assert len(deltas) == 5
    deltas, _ = await answer(engine, scripted(Sampling(ignore_eos=True, max_tokens=7), reply="one"))
    assert len(deltas) == 7
    _, finished = await answer(engine, scripted(tokens=100))
    assert (finished.usage.completion_tokens, finished.choices[0].finish_reason) == (48, "length")


@pytest.mark.parametrize(("text", "options"), [("w " * 51, Sampling()), ("w", Sampling(max_tokens=50))])
async def test_what_does_not_fit_is_refused(engine: FakeEngine, text: str, options: Sampling) -> None:
    with pytest.raises(ContextLengthExceeded, match="50 tokens"):
        await engine.prepare(scripted(options, text))


async def test_seeds(engine: FakeEngine) -> None:
    async def said(**options: Any) -> list[str]:
        deltas, _ = await answer(engine, scripted(Sampling(n=2, **options), tokens=5))
        return [content(deltas, choice) for choice in range(2)]

    assert await said(seed=4) == await said(seed=4) != await said(seed=5)
    assert await said(temperature=0) == await said(temperature=0)
    assert await said() != await said()
    assert len(set(await said(seed=4))) == 2


async def test_logprobs_are_consistent(engine: FakeEngine) -> None:
    deltas, _ = await answer(engine, scripted(Sampling(logprobs=True, top_logprobs=3), reply="one two"))
    for delta in deltas:
        (logprob,) = delta.logprobs
        assert logprob.sampled.token == delta.content
        assert logprob.sampled.raw_bytes == delta.content.encode()
        assert logprob.top[0] == logprob.sampled
        assert [score.logprob for score in logprob.top] == sorted((s.logprob for s in logprob.top), reverse=True)
        assert len({score.token_id for score in logprob.top}) == 3
    deltas, _ = await answer(engine, scripted(reply="one two"))
    assert not any(delta.logprobs for delta in deltas)


FORMS = [
    (StructuredOutput(json_object=True), "{}"),
    (StructuredOutput(choice=["yes", "no"]), "yes"),
    (
        StructuredOutput(
            json_schema='{"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}, '
            '"b": {"enum": ["x"]}, "c": {"type": "null"}}}'
        ),
        '{"a": 0, "b": "x"}',
    ),
]


@pytest.mark.parametrize(("form", "text"), FORMS)
async def test_structured_output_has_its_form(engine: FakeEngine, form: StructuredOutput, text: str) -> None:
    assert content((await answer(engine, asked(structured_output=form)))[0]) == text


REFUSED: list[tuple[GenerateRequest, type[ServiceError], str]] = [
    (asked(structured_output=StructuredOutput(regex="a")), UnsupportedFeature, "structured_output.regex"),
    (asked(structured_output=StructuredOutput(grammar="a")), UnsupportedFeature, "structured_output.grammar"),
    (
        GenerateRequest("id", "m", chat=Chat([Message("user", [Part(file=Media(b"x"))])])),
        UnsupportedFeature,
        "chat.messages[0].content[0]",
    ),
    (scripted(unknown=1), InvalidField, "chat.template_args_json"),
    (GenerateRequest("id", "m", text='{"fake": {"tokens": "many"}}'), InvalidField, "text"),
]


@pytest.mark.parametrize(("request_", "error", "field"), REFUSED)
async def test_what_it_cannot_do_is_refused_by_name(
    engine: FakeEngine, request_: GenerateRequest, error: type[ServiceError], field: str
) -> None:
    with pytest.raises(error) as refused:
        await engine.prepare(request_)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("fault", "error"),
    [("fail_after", EngineUnavailable), ("crash_after", RuntimeError), ("die_after", EngineUnavailable)],
)
@pytest.mark.parametrize("after", [0, 2, 3])
async def test_faults_come_after_as_many_tokens(
    engine: FakeEngine, fault: str, error: type[Exception], after: int
) -> None:
    script: dict[str, Any] = {"reply": "one two three", fault: after}
    outputs = engine.generate(await engine.prepare(scripted(**script)))
    for _ in range(after):
        assert (await anext(outputs)).finished is None
    with pytest.raises(error):
        await anext(outputs)
    assert engine.died.is_set() == (fault == "die_after")
    assert engine.running() == 0
