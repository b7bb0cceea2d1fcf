"""Where the words of a text are in a sound, from where its pieces are: tokens, syllables or characters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_server.services.audio.engine import Word

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that write no blanks between words: there, each character counts as a word."""
_WORD = re.compile(rf"[{_UNSPACED}][^\w\s]*|[^\s{_UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text: how many of its characters are said when it ends, and where it is, in seconds."""

    end: int
    start_s: float
    end_s: float


def words_of(text: str, pieces: Sequence[Piece], start_s: float, end_s: float) -> tuple[Word, ...]:
    """Returns the words of a text, each from the beginning of its first piece to the end of its last.

    Times are brought inside `start_s` to `end_s`, and do not go back.
    """
    found: list[Word] = []
    at_s, first = start_s, 0
    for match in _WORD.finditer(text):
        while first < len(pieces) - 1 and pieces[first].end <= match.start():
            first += 1
        last = first
        while last < len(pieces) - 1 and pieces[last].end < match.end():
            last += 1
        begins_s, ends_s = (pieces[first].start_s, pieces[last].end_s) if pieces else (start_s, end_s)
        at_s = min(max(begins_s, at_s), end_s)
        found.append(Word(match[0], at_s, min(max(ends_s, at_s), end_s)))
    return tuple(found)


def later(words: Sequence[Word], by_s: float) -> tuple[Word, ...]:
    """Returns words whose times were counted from a later point in the sound."""
    return tuple(Word(word.text, by_s + word.start_s, by_s + word.end_s) for word in words)


def joined(before: str, text: str) -> str:
    """Returns a text as it stands after another one: with a blank, where its script writes blanks between words."""
    text = text.strip()
    if not before or not text or (re.match(f"[{_UNSPACED}]", text) and re.search(rf"[{_UNSPACED}]\W*$", before)):
        return text
    return f" {text}"
