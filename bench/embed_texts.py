"""The texts that are embedded, the same for whoever is measured."""

import random

LINE = "the model of a city that never sleeps was sold for less than its paper by three people in an old blue hat"
WORDS = LINE.split(" ")
SHORT_WORDS = 8
MIXED_WORDS = (4, 160)


def texts(count: int, *, mixed: bool) -> list[str]:
    """Returns texts of 8 words; or, mixed, of 4 to 160 words, short ones being more frequent."""
    chance = random.Random(7)  # noqa: S311 (no secret)
    least, most = MIXED_WORDS
    lengths = [round(least * (most / least) ** chance.random()) if mixed else SHORT_WORDS for _ in range(count)]
    return [" ".join(chance.choice(WORDS) for _ in range(length)) for length in lengths]
