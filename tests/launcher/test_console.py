"""What the user sees."""

import io

import pytest

from gpt_server.launcher.console import Console


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """Whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def told(out: io.StringIO) -> str:
    console = Console(out)
    console.child("one-0", "hello")
    console.child("a-name-of-length-0", "hi")
    console.say("there")
    return out.getvalue()


def test_lines_stand_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "one-0      │ hello\na-name-of-length-0 │ hi\ngpt-server │ there\n"
    assert told(io.StringIO()) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert told(Terminal()) == plain


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    first, second, own = told(Terminal()).splitlines()
    assert first == "\033[36mone-0     \033[0m │ hello"
    assert second.startswith("\033[33m")
    assert own.startswith("\033[1mgpt-server")


def test_reader_who_has_left_stops_nothing() -> None:
    Console(Gone()).say("draining")
