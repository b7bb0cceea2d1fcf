"""Detokenising and stop strings: whatever the pieces, the text is the same, and no code point is split."""

import random

import pytest

from gpt_server.services.llm.text import Detokenizer, StopStrings, overlap
from tests.llm.pieces import cuts

TEXT = "Grüße, 世界! 👩‍🚀🇪🇺 naïve\n\tend"


def test_detokenizer_never_splits_a_code_point() -> None:
    encoded = TEXT.encode()
    rng = random.Random(1)  # noqa: S311
    for _ in range(200):
        places = sorted(rng.sample(range(len(encoded) + 1), 15))
        tokens = [encoded[start:end] for start, end in zip([0, *places], [*places, len(encoded)], strict=True)]
        detokenizer = Detokenizer(tokens.__getitem__)
        pieces = [detokenizer.push(token) for token in range(len(tokens))]
        assert "".join(pieces) == TEXT
        assert detokenizer.flush() == ""


def test_detokenizer_replaces_bytes_that_are_no_text() -> None:
    tokens = [b"a\xff", b"b\xf0\x9f", b"c", b"\xe4\xb8"]
    detokenizer = Detokenizer(tokens.__getitem__)
    pieces = [detokenizer.push(token) for token in range(4)]
    assert pieces == ["a\ufffd", "b", "\ufffdc", ""]
    assert detokenizer.flush() == "\ufffd"


def test_detokenizer_skips_ids() -> None:
    detokenizer = Detokenizer([b"a", b"<end>", b"b"].__getitem__, skipped={1})
    assert [detokenizer.push(token) for token in (0, 1, 2)] == ["a", "", "b"]


@pytest.mark.parametrize(
    ("text", "stops", "expected", "matched"),
    [
        ("one two three", ["two"], "one ", "two"),
        ("one two three", ["tw", "two"], "one ", "tw"),
        ("abcd", ["abcd", "bc"], "a", "bc"),
        ("abcd", ["cd", "bcd"], "a", "bcd"),
        ("aaab", ["aab"], "a", "aab"),
        ("</s", ["</s>"], "</s", None),
        ("ababac", ["abac"], "ab", "abac"),
        ("a世界b", ["界"], "a世", "界"),
        ("nothing", ["else", "more"], "nothing", None),
    ],
)
def test_stop_strings(text: str, stops: list[str], expected: str, matched: str | None) -> None:
    for include in (False, True):
        for pieces in cuts(text):
            strings = StopStrings(stops, include)
            released = "".join(strings.feed(piece) for piece in pieces)
            assert strings.matched == matched
            assert released + strings.flush() == expected + (matched or "" if include else "")


def test_stop_strings_hold_back_no_more_than_a_possible_start() -> None:
    strings = StopStrings(["STOP"])
    assert strings.feed("go on ST") == "go on "
    assert strings.feed("ART") == "START"
    assert strings.feed(" S") == " "
    assert strings.flush() == "S"


def test_without_stop_strings_nothing_is_held_back() -> None:
    assert StopStrings([]).feed("text") == "text"


@pytest.mark.parametrize(
    ("text", "marks", "length"),
    [
        ("abc<", ["<x>"], 1),
        ("abc<x", ["<x>"], 2),
        ("<x>", ["<x>"], 0),
        ("aa", ["aaa"], 2),
        ("b", ["a"], 0),
        ("", ["a"], 0),
    ],
)
def test_overlap(text: str, marks: list[str], length: int) -> None:
    assert overlap(text, marks) == length
