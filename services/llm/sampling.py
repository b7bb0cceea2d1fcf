"""How the distribution of the next token is shaped, whatever the engine."""

from collections.abc import Mapping
from typing import Any

from gpt_server.services.llm.engine import Sampling

#: What shapes it where neither the request nor the model says anything.
NEUTRAL: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def filled(given: Sampling, default: Sampling) -> Mapping[str, Any]:
    """Returns what the distribution is shaped by, the model's own defaults where the request says nothing."""
    return {
        name: next(value for value in (getattr(given, name), getattr(default, name), last) if value is not None)
        for name, last in NEUTRAL.items()
    }
