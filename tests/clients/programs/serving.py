"""A program's side of the conversation with the tests: one JSON document a line, on standard input and output."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Request = dict[str, Any]
Reply = dict[str, Any]


class Person(BaseModel):
    """A form for an answer."""

    name: str
    age: int


WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SUNNY = '{"temperature": 21, "condition": "sunny"}'

_pauses_s: list[float] = []
_sleep = time.sleep


def serve(verbs: Mapping[str, Callable[[Request], Reply]]) -> None:
    """Answers requests until there are no more. `do` in a request is the verb; an exception is an answer too.

    Every answer has `pauses_s`: how long the library has waited between its attempts, in seconds.
    """
    replies, sys.stdout = sys.stdout, sys.stderr  # libraries print
    time.sleep = _noted_sleep  # type: ignore[assignment]
    for line in sys.stdin:
        request = json.loads(line)
        _pauses_s.clear()
        try:
            reply = verbs[request["do"]](request)
        except Exception as error:
            reply = raised(error)
        print(json.dumps(reply | {"pauses_s": _pauses_s}), file=replies, flush=True)


def raised(error: Exception, before: str = "") -> Reply:
    """Returns how an exception looks to its catcher, and the text that came before it."""
    return {
        "raised": {
            "is": [kind.__name__ for kind in type(error).__mro__],
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "code", None),
            "text": str(error),
        },
        "before": before,
    }


def _noted_sleep(seconds: float) -> None:
    _pauses_s.append(seconds)
    _sleep(seconds)
