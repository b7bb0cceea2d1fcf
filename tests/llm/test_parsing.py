"""Tool calls and reasoning in text: formats, malformed calls, and that the cut into pieces never matters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gpt_server.services.llm.parsing import (
    REASONING_PARSERS,
    TOOL_PARSERS,
    HermesParser,
    Parsed,
    ReasoningParser,
    guess_reasoning_parser,
    guess_tool_parser,
)
from tests.llm.pieces import cuts


@dataclass
class Heard:
    """What a client has after it has added up all pieces."""

    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)

    def add(self, parsed: Parsed) -> None:
        self.content += parsed.content
        self.reasoning += parsed.reasoning
        for call in parsed.tool_calls:
            if call.id:
                assert call.index == len(self.calls)
                assert call.name
                self.calls.append((call.name, ""))
            assert call.index == len(self.calls) - 1
            name, arguments = self.calls[-1]
            self.calls[-1] = (name, arguments + call.arguments)


def hear(parser: HermesParser | ReasoningParser, pieces: Sequence[str]) -> Heard:
    heard = Heard()
    for piece in pieces:
        heard.add(parser.feed(piece))
    heard.add(parser.flush())
    return heard


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


ARGUMENTS = '{"city": "K\\u00f6ln \\"}{\\\\", "days": [1, {"a": "</tool_call>"}], "n": null}'

HERMES = [
    ("plain text, no call", Heard("plain text, no call")),
    ("2 < 3 and <tool> is no mark <tool_cal", Heard("2 < 3 and <tool> is no mark <tool_cal")),
    (call("f", "{}"), Heard(calls=[("f", "{}")])),
    (call("f", ARGUMENTS), Heard(calls=[("f", ARGUMENTS)])),
    (f"Let me see.\n{call('f', ARGUMENTS)}\n", Heard("Let me see.", calls=[("f", ARGUMENTS)])),
    (f"{call('f', '{}')}\n{call('g', ARGUMENTS)}", Heard(calls=[("f", "{}"), ("g", ARGUMENTS)])),
    (f"{call('f', '{}')} Done.", Heard(" Done.", calls=[("f", "{}")])),
    ('<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>', Heard(calls=[("f", '{"a":1}')])),
    ('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', Heard(calls=[("f", '{"a": 1}')])),
    ('<tool_call>{"name": "f"}</tool_call>', Heard(calls=[("f", "{}")])),
    ('<tool_call>{"name": "f", "arguments": {"a": 1}, "id": "x"}</tool_call>', Heard(calls=[("f", '{"a": 1}')])),
    ('<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call> b', Heard(" b", calls=[("f", '{"a": 1}')])),
    # Cut off by max_tokens: what there is of the arguments is passed on.
    ('<tool_call>\n{"name": "f", "arguments": {"a": "b', Heard(calls=[("f", '{"a": "b')])),
    (
        '<tool_call>{"arguments": {"a": "</tool_call>"}, "name": "f"}</tool_call>',
        Heard('<tool_call>{"arguments": {"a": "</tool_call>"}, "name": "f"}</tool_call>'),
    ),
    # Malformed calls are content, as the model wrote them.
    ("x <tool_call>not json</tool_call> y", Heard("x <tool_call>not json</tool_call> y")),
    ('<tool_call>{"name": 3}</tool_call>', Heard('<tool_call>{"name": 3}</tool_call>')),
    ('<tool_call>{"name": "f" "a"}</tool_call>', Heard('<tool_call>{"name": "f" "a"}</tool_call>')),
    ('<tool_call>\n{"name": "f", ', Heard('<tool_call>\n{"name": "f", ')),
    (
        f'<tool_call>{{"name": </tool_call>{call("g", "{}")}',
        Heard('<tool_call>{"name": </tool_call>', calls=[("g", "{}")]),
    ),
]

LLAMA = [
    ("plain text", Heard("plain text")),
    ('{"name": "f", "parameters": {"a": {"b": "}"}}}', Heard(calls=[("f", '{"a": {"b": "}"}}')])),
    ('<|python_tag|>{"name": "f", "parameters": {}}', Heard(calls=[("f", "{}")])),
    (
        '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {"a": 1}}',
        Heard(calls=[("f", "{}"), ("g", '{"a": 1}')]),
    ),
    ('{"name": "x", "answer": 42}', Heard('{"name": "x", "answer": 42}')),
    ('{"answer": 42, "name": "x"}', Heard('{"answer": 42, "name": "x"}')),
    ('Here: {"name": "f", "parameters": {}}', Heard('Here: {"name": "f", "parameters": {}}')),
]


@pytest.mark.parametrize(("text", "expected"), HERMES, ids=[text[:40] for text, _ in HERMES])
def test_hermes(text: str, expected: Heard) -> None:
    for pieces in cuts(text):
        assert hear(TOOL_PARSERS["hermes"](), pieces) == expected, pieces


@pytest.mark.parametrize(("text", "expected"), LLAMA, ids=[text[:40] for text, _ in LLAMA])
def test_llama3_json(text: str, expected: Heard) -> None:
    for pieces in cuts(text):
        assert hear(TOOL_PARSERS["llama3_json"](), pieces) == expected, pieces


@pytest.mark.parametrize("name", TOOL_PARSERS)
def test_a_parser_reads_what_its_grammar_writes(name: str) -> None:
    form = TOOL_PARSERS[name]
    one = form.call_begin.format(name=json.dumps('a"b')) + ARGUMENTS + form.call_end
    assert hear(form(), list(form.separator.join([one, one]))).calls == [('a"b', ARGUMENTS)] * 2


def test_arguments_are_passed_on_as_they_come() -> None:
    parser = HermesParser()
    parser.feed('<tool_call>\n{"name": "f", "arguments": ')
    first = parser.feed('{"a')
    assert [(call.name, call.arguments) for call in first.tool_calls] == [("f", ""), ("", '{"a')]
    assert [call.arguments for call in parser.feed('": 1').tool_calls] == ['": 1']
    assert (parser.begun, parser.complete) == (1, 0)
    assert [call.arguments for call in parser.feed("}}").tool_calls] == ["}"]
    assert (parser.begun, parser.complete) == (1, 1)


def test_call_ids_differ_between_calls() -> None:
    parser = HermesParser()
    calls = [fragment for _ in range(2) for fragment in parser.feed(call("f", "{}")).tool_calls if fragment.id]
    assert len({fragment.id for fragment in calls}) == 2


REASONING = [
    ("no thought", False, Heard("no thought")),
    ("<think>\nwhy < not\n</think>\n\nanswer </think>", False, Heard("answer </think>", "why < not")),
    ("  <think>a</think>b", False, Heard("b", "a")),
    ("a <think>b</think>", False, Heard("a <think>b</think>")),
    ("<thin", False, Heard("<thin")),
    ("<think>cut of", False, Heard("", "cut of")),
    ("<think></think>b", False, Heard("b")),
    ("why\n</think>\nanswer", True, Heard("answer", "why")),
    ("why </thi", True, Heard("", "why </thi")),
    ("</think>\n\n", True, Heard()),
]


@pytest.mark.parametrize(("text", "thinking", "expected"), REASONING, ids=[repr(each[0]) for each in REASONING])
def test_reasoning(text: str, thinking: bool, expected: Heard) -> None:
    for pieces in cuts(text):
        assert hear(ReasoningParser(thinking), pieces) == expected, pieces


def test_reasoning_knows_where_it_is() -> None:
    parser = ReasoningParser()
    states = []
    for piece in ("<think>", "a", "</think>", "b"):
        parser.feed(piece)
        states.append(parser.thinking)
    assert states == [True, True, False, False]


def test_parsers_are_guessed_from_the_template() -> None:
    assert guess_reasoning_parser("... </think> ...") == "qwen3"
    assert guess_reasoning_parser("...") is None
    assert guess_tool_parser("... <tool_call> ...") == "hermes"
    assert guess_tool_parser("<tool_call>\n<function=f>") is None
    assert guess_tool_parser('<|python_tag|> "parameters"') == "llama3_json"
    assert guess_tool_parser("...") is None
    assert REASONING_PARSERS["deepseek_r1"].implicit
