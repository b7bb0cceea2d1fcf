"""Pairs for a model that makes vectors: each side becomes one, and the cosine between the two is the score."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from gpt_server.services.embed.engine import Input, InputOptions, ModelDetails, Pair, Rows, Task

T = TypeVar("T")

QUERY_PROMPTS, DOCUMENT_PROMPTS = ("query",), ("document", "passage")


def sides_of(
    task: Task, details: ModelDetails, features_of: Callable[[Task], Sequence[T]]
) -> tuple[list[T], Sequence[tuple[int, int]]]:
    """Returns the features of all sides, each that occurs more than once only once, and the two of every pair."""
    pairs = [item for item in task.items if isinstance(item, Pair)]
    first, places = _distinct([pair.first for pair in pairs])
    second, others = _distinct([pair.second for pair in pairs])
    asked = task.options.prompt is not None or task.options.prompt_name is not None
    options = [
        task.options if asked and names is QUERY_PROMPTS else _with_own_prompt(details, task.options, names)
        for names in (QUERY_PROMPTS, DOCUMENT_PROMPTS)
    ]
    features: list[T] = []
    for sides, numbers, option in zip((first, second), (places, others), options, strict=True):
        paths = [task.paths[numbers.index(i)] for i in range(len(sides))]
        features += features_of(Task(sides, paths, option))
    return features, [(a, len(first) + b) for a, b in zip(places, others, strict=True)]


def cosines(vectors: Rows, pairs: Sequence[tuple[int, int]]) -> Rows:
    """Returns the cosine of each pair of vectors, as rows of one number."""
    scaled = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    first, second = zip(*pairs, strict=True)
    found: Rows = (scaled[list(first)] * scaled[list(second)]).sum(axis=1, keepdims=True).astype(np.float32)
    return found


def _distinct(sides: Sequence[Input]) -> tuple[list[Input], list[int]]:
    numbers: dict[Input, int] = {}
    places = [numbers.setdefault(side, len(numbers)) for side in sides]
    return list(numbers), places


def _with_own_prompt(details: ModelDetails, options: InputOptions, names: Sequence[str]) -> InputOptions:
    name = next((name for name in names if name in details.prompts), None)
    return replace(options, prompt=None, prompt_name=name)
