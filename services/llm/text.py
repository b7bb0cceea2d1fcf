"""From sampled tokens to text that may be sent: detokenising and stop strings, for engines whose library does neither.

Both are incremental and cost the same for every token, however long the text is. Tokens come as bytes, so a
byte-level vocabulary needs nothing special: text is released when its last code point is whole.
"""

import codecs
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Detokenizer:
    """Turns tokens into text, one at a time, and never splits a code point.

    Args:
        token_bytes: the bytes of a token, its leading space included.
        skipped: ids that leave no text, usually the special tokens.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], skipped: Collection[int] = frozenset()) -> None:
        self._token_bytes = token_bytes
        self._skipped = skipped
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """Returns the text that this token completes; empty while a code point is unfinished."""
        return "" if token_id in self._skipped else self._decoder.decode(self._token_bytes(token_id))

    def flush(self) -> str:
        """Returns what is left at the end: U+FFFD for an unfinished code point, else nothing."""
        return self._decoder.decode(b"", final=True)


class StopStrings:
    """Cuts a text before the first of some strings, and holds back only what may be the start of one.

    The first is the one that is complete first, and the longest of those that end together; so the result does not
    depend on how the text was split into pieces.

    Args:
        stops: the strings, none empty.
        include: whether the string that matched is part of the text.
    """

    def __init__(self, stops: Sequence[str], include: bool = False) -> None:
        self._stops = stops
        self._include = include
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """Returns the text that can be released. After a match (`matched` is set) there is none to come."""
        if self.matched is not None:
            return ""
        text = self._held + text
        ends = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            end, start, self.matched = min(ends)
            self._held = ""
            return text[: end if self._include else start]
        cut = len(text) - overlap(text, self._stops)
        self._held = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """Returns what was held back, at the end of a text that no stop string ended."""
        held, self._held = self._held, ""
        return held


class Unreleased(Generic[T]):
    """Tokens whose text is held back: they are told of when it is out, and dropped when it is cut off."""

    def __init__(self) -> None:
        # First character, last character + 1, token.
        self._waiting: deque[tuple[int, int, T]] = deque()
        self._seen_chars = self._released_chars = 0

    def push(self, token: T, characters: int) -> None:
        """Takes a token in, and how many characters it has completed."""
        self._waiting.append((self._seen_chars, self._seen_chars + characters, token))
        self._seen_chars += characters

    def release(self, characters: int) -> list[T]:
        """Returns the tokens whose text is out when so many more characters are."""
        self._released_chars += characters
        released = []
        while self._waiting and self._waiting[0][1] <= self._released_chars:
            released.append(self._waiting.popleft()[2])
        return released

    def end(self, cut: bool) -> list[T]:
        """Returns the tokens that are left at the end. `cut`: only those of which a part is out."""
        rest = [token for first, _, token in self._waiting if not cut or first < self._released_chars]
        self._waiting.clear()
        return rest


def overlap(text: str, marks: Sequence[str]) -> int:
    """Returns the length of the longest end of `text` that is the start of a mark, but not all of it."""
    longest = max((len(mark) for mark in marks), default=0) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(len(mark) > length and mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0
