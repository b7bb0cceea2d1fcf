"""The voices of eSpeak NG, read from its data: a language and, after a `+`, a variant; and OpenAI's names for some."""

from collections.abc import Iterator
from pathlib import Path

from gpt_server.services.audio.engine import Voice

NAMED = {
    "en-us+robosoft3": ("alloy", "Even and clear; the one that speech recognition understands best"),
    "en-us+m1": ("ash", "Male"),
    "en-us+m2": ("ballad", "Male, lower"),
    "en-us+f2": ("coral", "Female"),
    "en-us+m3": ("echo", "Male"),
    "en-gb-x-rp+m4": ("fable", "Male, British"),
    "en-us+f3": ("nova", "Female, brighter"),
    "en-us+m7": ("onyx", "Male, deep"),
    "en-us+f4": ("sage", "Female, lower"),
    "en-us+f5": ("shimmer", "Female, soft"),
    "en-us+m5": ("verse", "Male, lively"),
    "en-us+f1": ("marin", "Female"),
    "en-us+m6": ("cedar", "Male, warm"),
}
"""Name: OpenAI's name for it, and what it is like."""
DEFAULT = "en-us+robosoft3"


def voices(folder: Path) -> list[Voice]:
    """Returns the voices of a data folder: those with names of OpenAI's first, then one for each language."""
    named = [Voice(name, (alias,), name.partition("+")[0], text) for name, (alias, text) in NAMED.items()]
    return named + sorted(_languages(folder), key=lambda voice: voice.name)


def _languages(folder: Path) -> Iterator[Voice]:
    for file in (folder / "lang").rglob("*"):
        if file.is_file():
            lines = [line.partition(" ") for line in file.read_text(encoding="utf-8").splitlines()]
            said = {key: value.strip() for key, _, value in reversed(lines) if value.strip()}
            dictionary = said.get("dictionary", file.name.partition("-")[0])
            if (folder / f"{dictionary}_dict").exists():  # some languages are only begun
                yield Voice(file.name.lower(), (), said.get("language", file.name).split()[0], said.get("name", ""))
