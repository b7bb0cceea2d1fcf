"""Pairs for a model that makes vectors: each side becomes one, and the cosine between the two is the score."""

from collections.abc import Sequence
from dataclasses import replace

from gpt_server.services.embed.engine import Input, InputOptions, Pair, Task
from gpt_server.services.embed.engines.sentence_transformers.features import Features, features_of
from gpt_server.services.embed.engines.sentence_transformers.model import LoadedModel

QUERY_PROMPTS, DOCUMENT_PROMPTS = ("query",), ("document", "passage")


def sides_of(loaded: LoadedModel, task: Task) -> tuple[list[Features], Sequence[tuple[int, int]]]:
    """Returns the features of all sides, each that occurs more than once only once, and the two of every pair."""
    pairs = [item for item in task.items if isinstance(item, Pair)]
    first, places = _distinct([pair.first for pair in pairs])
    second, others = _distinct([pair.second for pair in pairs])
    asked = task.options.prompt is not None or task.options.prompt_name is not None
    options = [
        task.options if asked and names is QUERY_PROMPTS else _with_own_prompt(loaded, task.options, names)
        for names in (QUERY_PROMPTS, DOCUMENT_PROMPTS)
    ]
    features: list[Features] = []
    for sides, numbers, option in zip((first, second), (places, others), options, strict=True):
        paths = [task.paths[numbers.index(i)] for i in range(len(sides))]
        features += features_of(loaded, Task(sides, paths, option))
    return features, [(a, len(first) + b) for a, b in zip(places, others, strict=True)]


def _distinct(sides: Sequence[Input]) -> tuple[list[Input], list[int]]:
    numbers: dict[Input, int] = {}
    places = [numbers.setdefault(side, len(numbers)) for side in sides]
    return list(numbers), places


def _with_own_prompt(loaded: LoadedModel, options: InputOptions, names: Sequence[str]) -> InputOptions:
    name = next((name for name in names if name in loaded.details.prompts), None)
    return replace(options, prompt=None, prompt_name=name)
