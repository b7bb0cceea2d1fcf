"""For every field of a request, one small request whose answer shows whether the field was honoured.

A case returns whether an effect was seen; None, where with this model none can be: its template does not show the
field, or the field has no effect on an answer at all. Cases know no library.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gpt_server.services.llm.engine import Capability, GenerateRequest, Message, Part, Role
from tests.engines.asking import Subject

Seen = bool | None
Case = Callable[[Subject], Awaitable[Seen]]


@dataclass(frozen=True)
class FieldCase:
    """A case; `needs` is the capability without which a model's engine refuses the field."""

    run: Case
    needs: Capability | None = None


CASES: dict[str, FieldCase] = {}


def case(path: str, needs: Capability | None = None) -> Callable[[Case], Case]:
    """Enters a case."""

    def enter(run: Case) -> Case:
        CASES[path] = FieldCase(run, needs)
        return run

    return enter


def said(role: Role, text: str, **fields: Any) -> Message:
    """A message."""
    return Message(role, [Part(text=text)], **fields)


async def prompt(subject: Subject, wanted: GenerateRequest) -> list[int]:
    """The ids of a prompt."""
    return list((await subject.engine.prepare(wanted)).prompt_token_ids)
