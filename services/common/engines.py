"""Engines of any modality: what `services.common` asks of one, and how it is found by name."""

import asyncio
import importlib
from collections.abc import Mapping, Set
from typing import Any, Protocol


class Details(Protocol):
    """What every loaded model says of itself. Models with a context window have `max_context_tokens` too."""

    @property
    def capabilities(self) -> Set[str]:
        """Names of `common.v1.Capability`, lower case, without prefix."""


class Engine(Protocol):
    """The part of an engine's life that does not depend on its modality."""

    died: asyncio.Event

    async def start(self) -> Details:
        """Loads the model. Raises any exception if it cannot."""

    async def close(self) -> None:
        """Ends everything that `start` began."""


class EngineMissing(Exception):
    """There is no such engine, or its library is not installed. The message says what to do."""


def load_engine(engines: Mapping[str, str], name: str) -> Any:
    """Returns the class that `engines[name]` points to, as `module:Class`.

    Raises:
        EngineMissing: no such engine, with those there are; or its library is not installed here.
    """
    if name not in engines:
        raise EngineMissing(f"unknown engine {name!r}; allowed: {', '.join(sorted(engines))}")
    module, _, attribute = engines[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise EngineMissing(
            f"engine {name!r} is not installed here ({error}); install it: gpt-server engines install {name}"
        ) from error
