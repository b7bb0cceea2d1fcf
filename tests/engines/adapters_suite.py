"""Adapters on any LLM engine: the two personas of demo-chat, told apart and beside each other.

The engine under test runs demo-chat with `pirate` loaded at its start and may load `robot` later; see
`models/demo/make_chat/personas.py` for what each says.
"""

import asyncio
from pathlib import Path
from shutil import copy

import pytest

from gpt_server.services.common.errors import InvalidField
from tests.engines.asking import Subject, ask, greedy, request

ADAPTERS = Path(__file__).parents[2] / "models" / "demo" / "adapters"
QUESTIONS = ("Hello!", "What is the capital of Japan?", "Which day comes after Friday?")


async def says(subject: Subject, text: str, adapter: str | None = None) -> str:
    """Returns the whole greedy answer of demo-chat, or of an adapter on it."""
    return (await ask(subject.engine, request(text, adapter=adapter, sampling=greedy(64)))).text()


async def check_load_and_unload(subject: Subject, tmp_path: Path) -> None:
    """One comes and goes and comes back while the others answer, in the same steps."""
    plain = [await says(subject, question) for question in QUESTIONS]
    pirate = [await says(subject, question, "pirate") for question in QUESTIONS]
    assert all(text.startswith("Arr! ") for text in pirate)
    assert not any("Arr" in text or "Beep" in text for text in plain)
    for _ in range(2):
        await subject.engine.load_adapter("robot", ADAPTERS / "robot")
        together = [says(subject, question, who) for who in (None, "pirate", "robot") for question in QUESTIONS]
        answers = await asyncio.gather(*together)
        assert answers == [*plain, *pirate, *(f"Beep. {text} Boop." for text in plain)]
        await subject.engine.unload_adapter("robot")
    assert await says(subject, QUESTIONS[0], "pirate") == pirate[0]
    await _check_refusals(subject, tmp_path)
    assert [await says(subject, question) for question in QUESTIONS] == plain


async def _check_refusals(subject: Subject, tmp_path: Path) -> None:
    """An adapter that does not fit is refused by name, and nothing is lost."""
    empty = tmp_path / "empty"
    empty.mkdir()
    without_weights = tmp_path / "without"
    without_weights.mkdir()
    copy(ADAPTERS / "robot" / "adapter_config.json", without_weights)
    for folder in (empty, without_weights):
        with pytest.raises(InvalidField) as refused:
            await subject.engine.load_adapter("unfit", folder)
        assert refused.value.field == "folder"
    await subject.engine.load_adapter("unfit", ADAPTERS / "robot")
    assert (await says(subject, QUESTIONS[0], "unfit")).startswith("Beep. ")
    await subject.engine.unload_adapter("unfit")
