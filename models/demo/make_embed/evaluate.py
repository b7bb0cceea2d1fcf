"""Measures demo-rerank and demo-moderation on what training never saw, through the engine that serves them.

python -m models.demo.make_embed.evaluate
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from gpt_server.services.embed.engine import EngineConfig, Input, InputOptions, Pair, Rows, Task
from gpt_server.services.embed.engines.sentence_transformers import SentenceTransformersEngine
from models.demo.compose import COMPOSED
from models.demo.make_embed import docstrings, lines

CANDIDATES = 50
"""Of each question of the docstrings: one right answer and this many less one of other questions."""


def rows(model: str, items: Sequence[Input | Pair], **engine_args: object) -> Rows:
    """Returns what one of the composed models says of inputs or pairs."""

    async def run() -> Rows:
        engine = SentenceTransformersEngine(EngineConfig(str(COMPOSED / model), engine_args=engine_args))
        await engine.start()
        try:
            options = InputOptions(truncate_prompt_tokens=-1)
            prepared = await engine.prepare(Task(items, [f"[{i}]" for i in range(len(items))], options))
            return (await engine.compute(prepared)).rows
        finally:
            await engine.close()

    return asyncio.run(run())


def _ranks(model: str, questions: Sequence[tuple[str, Sequence[str], int]]) -> list[int]:
    """Returns the place of the right answer of each question, from 1."""
    pairs = [Pair(Input(text=question), Input(text=text)) for question, texts, _ in questions for text in texts]
    scores = iter(rows(model, pairs, task="rerank")[:, 0])
    ranks = []
    for _, texts, right in questions:
        own = [next(scores) for _ in texts]
        ranks.append(1 + sum(score > own[right] for score in own))
    return ranks


def rerank(model: str, questions: Sequence[tuple[str, Sequence[str], int]]) -> tuple[int, float]:
    """Returns for how many questions the right answer comes first, and the mean reciprocal rank."""
    ranks = _ranks(model, questions)
    return ranks.count(1), float(np.mean([1 / rank for rank in ranks]))


def docstring_questions() -> list[tuple[str, Sequence[str], int]]:
    """Returns a question for each docstring that was kept out of training; the others are the wrong answers."""
    _, held_out = docstrings.pairs()
    answers = [answer for _, answer in held_out]
    return [
        (question, [answers[(i + j) % len(answers)] for j in range(min(CANDIDATES, len(answers)))], 0)
        for i, (question, _) in enumerate(held_out)
    ]


def moderation() -> tuple[int, int, list[tuple[str, str, str]]]:
    """Returns how many held-out lines get their label, for how many harmful or not is right, and all mistakes."""
    found = rows("moderation", [Input(text=text) for text, _ in lines.HELD_OUT]).argmax(axis=1)
    said = [lines.LABELS[i] for i in found]
    right = sum(label == answer for (_, label), answer in zip(lines.HELD_OUT, said, strict=True))
    harm = sum((label == "safe") == (answer == "safe") for (_, label), answer in zip(lines.HELD_OUT, said, strict=True))
    wrong = [(text, label, say) for (text, label), say in zip(lines.HELD_OUT, said, strict=True) if label != say]
    return right, harm, wrong


def main() -> None:
    """Prints everything that the README says."""
    questions = docstring_questions()
    for model in ("embed", "rerank"):
        for name, asked in (("by hand", lines.RERANK), ("docstrings", questions)):
            first, mean = rerank(model, asked)
            print(f"{model:8} {name:10} first {first}/{len(asked)}  MRR {mean:.3f}")
    right, harm, wrong = moderation()
    print(f"moderation label {right}/{len(lines.HELD_OUT)}  harmful or not {harm}/{len(lines.HELD_OUT)}")
    for text, label, said in wrong:
        print(f"  {said} instead of {label}: {text}")


if __name__ == "__main__":
    main()
