"""Repeating text and spelling words, many of them made up: this teaches the model to copy."""

from __future__ import annotations

from .source import Dialog, Message, Source, answer, user

REPEAT = (
    "Repeat after me: {}",
    "Repeat: {}",
    "Say: {}",
    "Say {}",
    "Please repeat: {}",
    "Repeat this: {}",
    'Repeat "{}"',
    "Please say: {}",
    "Repeat the following: {}",
    "Repeat exactly: {}",
    "Echo: {}",
    "Repeat after me: {}.",
)
SPELL = (
    "Spell {}",
    "Spell {}.",
    "Spell the word {}.",
    "How do you spell {}?",
    "Please spell {}.",
    'Spell "{}"',
    "How is {} spelled?",
    "Can you spell {}?",
    "Spell: {}",
    "spell {}",
)


def repeat(source: Source, turns: int = 1) -> Dialog:
    """Say exactly what the user said."""
    messages: list[Message] = []
    for _ in range(turns):
        text = _text(source)
        messages += [user(source.pick(REPEAT).format(text)), answer(text, f"I repeat: {text}")]
    return Dialog("repeat", messages)


PHRASES = (
    "this is a test",
    "this is a {0}",
    "the {0} is {1}",
    "hello {2}",
    "I like {0} and {1}",
    "good morning {2}",
    "{2} has a {0} and a {1}",
    "my {0} is {1}",
    "you can do it",
    "a {0} in the {1}",
    "{2} is in the {0}",
    "hello world",
    "I am a {0}",
    "the {0} and the {1}",
    "one {0} or one {1}",
    "{0}, {1}, {0}",
    "Hello, {2}!",
)


def _text(source: Source) -> str:
    if source.chance(0.2):
        return source.pick(PHRASES).format(source.word(), source.word(), source.name())
    words = [source.word(0.6) for _ in range(source.number(1, 5))]
    if source.chance(0.15):
        words[-1] = source.name()
    if source.chance(0.15):
        words.insert(source.number(0, len(words)), str(source.number(0, 999)))
    text = " ".join(words)
    return text.capitalize() if source.chance(0.1) else text


def spell(source: Source, turns: int = 1) -> Dialog:
    """Letter by letter, with a hyphen between the letters."""
    messages: list[Message] = []
    for _ in range(turns):
        word = source.name() if source.chance(0.1) else source.word(0.6)
        letters = f"letters: {' '.join(word)}"
        messages += [user(source.pick(SPELL).format(word)), answer("-".join(word), letters)]
    return Dialog("spell", messages)
