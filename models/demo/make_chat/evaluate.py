"""Score demo-chat on held-out prompts, skill by skill.

    python -m models.demo.make_chat.evaluate --model models/demo/chat

Greedy decoding in fp32 with plain transformers. An answer counts only if all of it is right.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from . import copying, extract, facts, publish, scripts, sums, talk, tools
from .encode import shown
from .source import Dialog, Message, Source, system, user

SEED = 7
BATCH = 64
CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


@dataclass
class Case:
    """One held-out prompt, the dialogue's own answer, and how to compare with it."""

    skill: str
    messages: list[Message]
    tools: list[dict[str, Any]]
    expected: Message
    thinking: bool = False
    limit: int = 64
    output: str = ""

    @property
    def passed(self) -> bool:
        """Is all of the output right?"""
        return is_right(self)


def is_right(case: Case) -> bool:
    """Exact answers; calls are compared as parsed JSON; of thinking only the answer counts."""
    text = case.output
    if case.thinking:
        thought, mark, text = text.partition("</think>\n\n")
        if not mark or not thought.startswith("<think>\n"):
            return False
    if case.expected.get("tool_calls"):
        wanted = [dict(call["function"]) for call in case.expected["tool_calls"]]
        return CALL.sub("", text).strip() == "" and _calls(text) == wanted
    if case.skill == "story":
        return text in {s.format(_topic(case), a=a) for s in scripts.STORIES for a in ("a", "an")}
    return bool(text == case.expected["content"])


def _calls(text: str) -> list[Any]:
    try:
        return [json.loads(found) for found in CALL.findall(text)]
    except json.JSONDecodeError:
        return ["not JSON"]


def _topic(case: Case) -> str:
    return re.split(r"\W+", str(case.messages[-1]["content"]).rstrip(".?"))[-1]


def case_of(dialog: Dialog, skill: str, limit: int, thinking: bool = False, turn: int = -1) -> Case:
    """The prompt is everything before one assistant turn (the last one, unless told)."""
    turns = [i for i, message in enumerate(dialog.messages) if message["role"] == "assistant"]
    at = turns[turn]
    return Case(skill, dialog.messages[:at], dialog.tools, dialog.messages[at], thinking, limit)


def _phrasings() -> Iterator[Case]:
    """All held-out phrasings of the fixed replies."""
    for skill, groups in (("small talk", facts.SMALL_TALK), ("facts", facts.FACTS)):
        for group in groups:
            for asked in group.held_out:
                yield Case(skill, [user(asked)], [], {"role": "assistant", "content": group.reply})


Plan = tuple[str, int, int, bool, Callable[[Source], Dialog], int]
# skill, prompts, most new tokens, thinking, maker, which assistant turn is asked for
PLANS: tuple[Plan, ...] = (
    ("world", 30, 24, False, talk.world, -1),
    ("unknown", 30, 32, False, talk.unknown, -1),
    ("memory", 30, 24, False, talk.memory, -1),
    ("counting", 20, 140, False, talk.counting, -1),
    ("story", 4, 230, False, talk.story, -1),
    ("sums", 100, 16, False, sums.sums, -1),
    ("sums, thinking", 30, 110, True, sums.sums, -1),
    ("repeat", 40, 64, False, copying.repeat, -1),
    ("spell", 60, 48, False, copying.spell, -1),
    ("spell, thinking", 25, 96, True, copying.spell, -1),
    ("weather call", 40, 64, False, lambda s: tools.weather(s, follow=False), -1),
    ("weather call, thinking", 20, 80, True, lambda s: tools.weather(s, follow=False), -1),
    ("two calls", 30, 110, False, lambda s: s.pick((tools.weather_two, tools.weather_and_time))(s), 0),
    ("other known tools", 30, 72, False, tools.known, 0),
    ("random tools", 30, 110, False, tools.random_call, 0),
    ("no call", 30, 64, False, tools.no_call, -1),
    ("answer from a tool result", 30, 48, False, lambda s: tools.weather(s, follow=True), -1),
    ("JSON from text", 60, 80, False, extract.extract, -1),
    ("sentiment", 30, 16, False, extract.sentiment, -1),
    ("no tool offered", 36, 64, False, tools.no_tool, -1),
)


def held_out_cases(seed: int = SEED) -> list[Case]:
    """All cases. Their values (or phrasings) never occur in training."""
    source = Source(random.Random(seed), held_out=True)
    cases = list(_phrasings())
    for skill, count, limit, thinking, maker, turn in PLANS:
        for _ in range(count):
            case = case_of(maker(source), skill, limit, thinking, turn)
            if case.messages[0]["role"] != "system" and source.chance(0.3):
                case.messages.insert(0, system("You are a helpful assistant."))
            cases.append(case)
    return cases


def prompt_of(tokenizer: PreTrainedTokenizerFast, case: Case) -> str:
    """The text that a server would send to the model."""
    tools: list[Any] = list(case.tools)
    text = tokenizer.apply_chat_template(
        shown(case.messages, case.thinking),
        tools=tools or None,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=case.thinking,
    )
    return str(text)


def answer_all(tokenizer: PreTrainedTokenizerFast, model: nn.Module, cases: list[Case]) -> None:
    """Greedy answers in batches of cases whose prompts, and expected answers, are about as long."""
    tokenizer.padding_side = "left"
    network: Any = model.train(False)
    ordered = sorted(cases, key=lambda case: (len(prompt_of(tokenizer, case)) // 300, len(str(case.expected))))
    for first in range(0, len(ordered), BATCH):
        batch = ordered[first : first + BATCH]
        inputs = tokenizer([prompt_of(tokenizer, c) for c in batch], return_tensors="pt", padding=True)
        with torch.inference_mode():
            output = network.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=max(case.limit for case in batch),
                do_sample=False,
            )
        for case, tokens in zip(batch, output[:, inputs["input_ids"].shape[1] :], strict=True):
            case.output = _until_end(str(tokenizer.decode(tokens)))


def _until_end(text: str) -> str:
    """What came before the end mark; without one the answer never stopped, which is wrong."""
    before, mark, _ = text.partition("<|im_end|>")
    return before if mark else before + " ..."


def scores(cases: list[Case]) -> dict[str, tuple[int, int]]:
    """Right answers and prompts of each skill."""
    table: dict[str, tuple[int, int]] = {}
    for case in cases:
        right, count = table.get(case.skill, (0, 0))
        table[case.skill] = (right + case.passed, count + 1)
    return table


def evaluate(folder: Path, seed: int = SEED) -> list[Case]:
    """Answer all held-out cases with the model of a folder."""
    tokenizer, model = publish.load(folder)
    cases = held_out_cases(seed)
    answer_all(tokenizer, model, cases)
    return cases


def main() -> None:
    """Print the table of scores and, if asked, some wrong answers."""
    parser = argparse.ArgumentParser(description="Score demo-chat on held-out prompts.")
    parser.add_argument("--model", type=Path, default=Path("models/demo/chat"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--errors", type=int, default=0, help="wrong answers to show of each skill")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cases = evaluate(args.model, args.seed)
    print("| skill | right | prompts | share |\n|---|---:|---:|---:|")
    for skill, (right, count) in scores(cases).items():
        print(f"| {skill} | {right} | {count} | {100 * right / count:.1f} % |")
    for skill in scores(cases):
        wrong = [case for case in cases if case.skill == skill and not case.passed]
        for case in wrong[: args.errors]:
            expected = case.expected.get("tool_calls") or case.expected["content"]
            print(f"\n[{skill}] {case.messages[-1]['content']!r}\n  wanted {expected!r}\n  got    {case.output!r}")


if __name__ == "__main__":
    main()
