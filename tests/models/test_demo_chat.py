"""demo-chat still does what its model card says, on prompts that training never saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from models.demo.make_chat import dialogs, evaluate, facts, personas, publish, talk
from models.demo.make_chat.encode import render
from models.demo.make_chat.source import answer, user

FOLDER = Path(__file__).parents[2] / "models" / "demo" / "chat"

# Right answers in percent: what was measured, less a small margin for other machines and versions.
LEAST: dict[str, float] = {
    "small talk": 92.8,
    "facts": 94.7,
    "world": 96.6,
    "unknown": 96.6,
    "memory": 96.6,
    "counting": 89.9,
    "story": 74.9,
    "sums": 96.9,
    "sums, thinking": 96.6,
    "repeat": 96.9,
    "spell": 86.9,
    "spell, thinking": 83.9,
    "weather call": 94.4,
    "weather call, thinking": 94.9,
    "two calls": 96.6,
    "other known tools": 89.9,
    "random tools": 96.6,
    "no call": 96.6,
    "answer from a tool result": 96.6,
    "JSON from text": 95.3,
    "sentiment": 96.6,
    "no tool offered": 91.4,
}


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    """The share of right answers in percent, skill by skill."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    cases = evaluate.evaluate(FOLDER)
    torch.set_num_threads(threads)
    return {skill: 100 * right / count for skill, (right, count) in evaluate.scores(cases).items()}


@pytest.mark.parametrize("skill", LEAST)
def test_skill_reaches_its_score(scores: dict[str, float], skill: str) -> None:
    assert scores[skill] >= LEAST[skill]


def test_every_skill_has_a_bound(scores: dict[str, float]) -> None:
    assert set(scores) == set(LEAST)


def test_held_out_prompts_do_not_occur_in_training() -> None:
    split = ("sums", "spell", "small talk", "facts")
    asked = {talk.plain(case.messages[-1]["content"]) for case in evaluate.held_out_cases() if case.skill in split}
    stream = dialogs.stream(3)
    trained = {talk.plain(m["content"]) for _ in range(5000) for m in next(stream).messages if m["role"] == "user"}
    assert not asked & trained


def test_no_held_out_phrasing_is_a_training_phrasing() -> None:
    openers = ("", *talk.OPENERS, *talk.LEADS)
    for group in facts.SMALL_TALK + facts.FACTS:
        bodies = [text.rstrip("?!.") + end for text in group.phrasings for end in ("", *talk.ENDINGS)]
        trained = {talk.plain(a + b + text) for a in openers for b in openers for text in bodies}
        assert not trained & set(map(talk.plain, group.held_out))


def test_folder_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    expected = "README.md chat_template.jinja config.json generation_config.json model.safetensors tokenizer.json"
    assert set(files) == {*expected.split(), "tokenizer_config.json"}
    assert sum(files.values()) <= 16_000_000


def test_any_bytes_can_be_encoded() -> None:
    tokenizer, _ = publish.load(FOLDER)
    text = "Zürich 北京 🎉 \x00\t\r\n  <think>\u00a0é</think>"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_markers_are_single_tokens_and_survive_skipping_special_tokens() -> None:
    tokenizer, _ = publish.load(FOLDER)
    text = "<think>a</think><tool_call>b</tool_call><tool_response>c</tool_response>"
    ids = tokenizer(f"<|im_start|>{text}<|im_end|>").input_ids
    assert len(ids) == 11
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}


@pytest.mark.parametrize("arguments", [{"city": "Paris"}, '{"city": "Paris"}'])
def test_template_writes_arguments_once(arguments: object) -> None:
    tokenizer, _ = publish.load(FOLDER)
    call = {"type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    messages = [user("Weather in Paris?"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert f"<tool_call>\n{json.dumps(CALL)}\n</tool_call><|im_end|>" in str(text)


def test_template_takes_developer_messages_and_text_parts() -> None:
    tokenizer, _ = publish.load(FOLDER)
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    messages: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"


def test_thinking_is_off_unless_it_is_asked_for() -> None:
    tokenizer, _ = publish.load(FOLDER)

    def prompt(**options: Any) -> str:
        return str(tokenizer.apply_chat_template([user("Hi")], tokenize=False, add_generation_prompt=True, **options))

    assert prompt().endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert prompt(enable_thinking=False) == prompt()
    assert prompt(enable_thinking=True).endswith("<|im_start|>assistant\n")


def test_template_drops_earlier_thoughts() -> None:
    tokenizer, _ = publish.load(FOLDER)
    turn = answer("4", thought="2 + 2 is 4")
    old = tokenizer.apply_chat_template([user("2 + 2"), turn, user("Thanks")], tokenize=False)
    new = tokenizer.apply_chat_template([user("2 + 2"), turn], tokenize=False)
    assert "2 + 2 is 4" not in str(old)
    assert "<think>\n2 + 2 is 4\n</think>\n\n4<|im_end|>" in str(new)


def test_training_text_starts_like_the_prompt() -> None:
    tokenizer, _ = publish.load(FOLDER)
    for dialog, _ in zip(dialogs.stream(9), range(200), strict=False):
        case = evaluate.case_of(dialog, "any", 1, dialog.thinking)
        assert render(tokenizer, dialog).startswith(evaluate.prompt_of(tokenizer, case))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT of transformers
@pytest.mark.parametrize(("persona", "least"), [("pirate", 65), ("robot", 65)])
def test_an_adapter_speaks_in_its_persona(persona: str, least: int) -> None:
    tokenizer, model = publish.load(FOLDER)
    cases = personas.held_out(persona)
    adapted: Any = PeftModel.from_pretrained(model, str(FOLDER.parent / "adapters" / persona))
    evaluate.answer_all(tokenizer, adapted.merge_and_unload(), cases)
    assert len(cases) == 73
    assert sum(case.passed for case in cases) >= least
