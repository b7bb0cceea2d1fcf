"""The random source of the dialogues, and the line between training and held-out values."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import tables

Item = TypeVar("Item")
Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass
class Dialog:
    """One conversation: the messages, the offered tools, and how it is rendered and scored."""

    skill: str
    messages: list[Message]
    tools: list[Tool] = field(default_factory=list)
    thinking: bool = False


def user(text: str) -> Message:
    """A user message."""
    return {"role": "user", "content": text}


def system(text: str) -> Message:
    """A system message."""
    return {"role": "system", "content": text}


def answer(text: str, thought: str = "") -> Message:
    """An assistant message; the thought is only shown when the dialogue has thinking on."""
    return {"role": "assistant", "content": text, "reasoning_content": thought}


def is_held_out(value: object) -> bool:
    """Every tenth value, chosen by its hash, never occurs in training."""
    digest = hashlib.sha256(f"demo-chat:{value}".casefold().encode()).digest()
    return digest[0] % 10 == 0


@dataclass
class Source:
    """Draws values: only training values, or (held_out) only values that training never saw."""

    rng: random.Random
    held_out: bool = False

    def pick(self, items: Sequence[Item]) -> Item:
        """Any item: for phrasings and other things that are not split."""
        return self.rng.choice(items)

    def chance(self, share: float) -> bool:
        """True in that share of the calls."""
        return self.rng.random() < share

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return self.rng.randint(low, high)

    def until_ours(self, draw: Callable[[], Item]) -> Item:
        """Draw until the value lies on our side of the split."""
        while True:
            value = draw()
            if is_held_out(value) == self.held_out:
                return value

    def value(self, items: Sequence[Item]) -> Item:
        """One item of a table that is split by hash."""
        return self.until_ours(lambda: self.rng.choice(items))

    def _made_up(self) -> str:
        """Syllables, two real words run together, or letters.

        Real words are joined and cut so that the model also learns to copy and spell the tokens of
        words that are held out themselves.
        """
        kind = self.rng.random()
        if kind < 0.45:
            return self._syllables()
        if kind < 0.88:
            first, last = self.rng.choice(tables.PARTS), self.rng.choice(tables.PARTS)
            if self.chance(0.6):
                return first[: self.rng.randint(2, 6)] + last[self.rng.randint(1, 4) :]
            return first + last
        return "".join(self.rng.choices(string.ascii_lowercase, k=self.rng.randint(2, 7)))

    def _syllables(self) -> str:
        count = self.rng.choices((1, 2, 3), (3, 5, 2))[0]
        return "".join(
            self.rng.choice(tables.ONSETS) + self.rng.choice(tables.VOWELS) + self.rng.choice(tables.CODAS)
            for _ in range(count)
        )

    def nonsense(self) -> str:
        """A made-up word: it can only be copied, never be guessed."""
        return self.until_ours(self._made_up)

    def word(self, made_up: float = 0.4) -> str:
        """A common or a made-up word in small letters."""
        return self.nonsense() if self.chance(made_up) else self.value(tables.WORDS)

    def name(self, made_up: float = 0.3) -> str:
        """A first name."""
        return self.nonsense().capitalize() if self.chance(made_up) else self.value(tables.NAMES)

    def city(self, made_up: float = 0.3) -> str:
        """A city, sometimes of two words."""
        if not self.held_out and self.chance(0.02):
            return "San Francisco"  # in every second example of tool calls, so it is always trained
        if self.chance(0.12):
            first = self.pick(tables.CITY_PREFIXES) if self.chance(0.5) else self.nonsense().capitalize()
            return f"{first} {self.nonsense().capitalize()}"
        return self.nonsense().capitalize() if self.chance(made_up) else self.value(tables.CITIES)

    def two_words(self) -> str:
        """Two words."""
        return self.phrase(2, 2)

    def phrase(self, low: int, high: int) -> str:
        """Several words."""
        return " ".join(self.word() for _ in range(self.number(low, high)))
