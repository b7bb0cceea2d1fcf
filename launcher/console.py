"""What the user sees: the launcher's own lines, and the children's under their names."""

import contextlib
import os
import sys
from typing import TextIO

COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)


class Console:
    """Writes lines to a terminal or a file. Colour only on a terminal, and not where `NO_COLOR` is set."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._numbers: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Writes a line of the launcher's own."""
        self._write(f"{self._paint('gpt-server', 1)} │ {text}")

    def child(self, name: str, line: str) -> None:
        """Writes a line that a child has written."""
        number = self._numbers.setdefault(name, len(self._numbers))
        self._write(f"{self._paint(f'{name:10}', COLOURS[number % len(COLOURS)])} │ {line}")

    def plain(self, text: str) -> None:
        """Writes text as it is, to be copied."""
        self._write(text)

    def _paint(self, text: str, code: int) -> str:
        return f"\033[{code}m{text}\033[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever reads may be gone; draining goes on
            self._out.write(f"{text}\n")
            self._out.flush()
