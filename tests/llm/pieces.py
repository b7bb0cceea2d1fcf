"""Ways to cut a text into pieces, for tests that the cut must not matter."""

import random
from collections.abc import Iterator


def cuts(text: str, count: int = 200) -> Iterator[list[str]]:
    """Yields the text whole, in characters, in two at every place, and cut at random."""
    yield [text]
    yield list(text)
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]
    rng = random.Random(text)  # noqa: S311
    for _ in range(count):
        places = sorted(rng.sample(range(len(text) + 1), min(len(text), rng.randint(1, 12))))
        yield [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
