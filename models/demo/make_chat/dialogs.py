"""The mixture of all skills: an endless stream of training dialogues, or held-out ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from . import copying, extract, sums, tables, talk, tools
from .source import Dialog, Source, system

SEED = 20261124


def _sums(source: Source) -> Dialog:
    dialog = sums.sums(source, 1 if source.chance(0.2) else source.number(3, 7))
    if source.chance(0.3):
        dialog.thinking = True
        dialog.messages = dialog.messages[-4:] if source.chance(0.3) else dialog.messages[-2:]
    return dialog


def _repeat(source: Source) -> Dialog:
    return copying.repeat(source, 1 if source.chance(0.5) else source.number(2, 4))


def _spell(source: Source) -> Dialog:
    dialog = copying.spell(source, 1 if source.chance(0.5) else source.number(2, 5))
    dialog.thinking = source.chance(0.15)
    return dialog


def _mixed(source: Source) -> Dialog:
    """A conversation that moves from one topic to another."""
    makers = (
        talk.small_talk,
        talk.fact,
        talk.world,
        sums.sums,
        copying.repeat,
        copying.spell,
        talk.unknown,
        extract.sentiment,
    )
    messages = [m for _ in range(source.number(2, 3)) for m in source.pick(makers)(source).messages]
    return Dialog("mixed", messages)


# Share of the dialogues. Sums, copying and tools get the most: they are hard to learn, while the
# fixed replies are learned in minutes.
MIXTURE: tuple[tuple[Callable[[Source], Dialog], float], ...] = (
    (talk.small_talk, 18),
    (talk.fact, 22),
    (talk.world, 3),
    (talk.unknown, 3),
    (talk.memory, 4),
    (talk.counting, 6),
    (talk.story, 1.5),
    (_sums, 30),
    (_repeat, 9),
    (_spell, 15),
    (_mixed, 3),
    (extract.extract, 20),
    (extract.sentiment, 2),
    (tools.weather, 8),
    (tools.weather_two, 3.5),
    (tools.weather_and_time, 1.5),
    (tools.known, 6),
    (tools.random_call, 6),
    (tools.no_call, 3),
    (tools.no_tool, 9),
    (tools.session, 3),
)


def stream(seed: int = SEED) -> Iterator[Dialog]:
    """Endless training dialogues; the same seed gives the same dialogues."""
    source = Source(random.Random(seed))
    makers, shares = zip(*MIXTURE, strict=True)
    while True:
        dialog = source.rng.choices(makers, shares)[0](source)
        dress(source, dialog)
        yield dialog


def dress(source: Source, dialog: Dialog) -> None:
    """Sometimes a system prompt, sometimes thinking, for every skill."""
    if dialog.messages[0]["role"] != "system" and source.chance(0.4):
        dialog.messages.insert(0, system(source.pick(tables.SYSTEM_PROMPTS)))
    if source.chance(0.08) and dialog.messages[-1].get("reasoning_content"):
        dialog.thinking = True
