"""Engines of any modality: what `services.common` asks of one, and how it is found by name."""

import asyncio
import importlib
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from gpt_server.services.common.config import ModelSettings


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a configuration says about one engine.

    `model`: a folder, or a hub id. `adapters`: name -> folder. `max_running`: sequences at the same time.
    `gpus`: how many the replica may use; 0 is a CPU. `engine_args`: checked by the engine's `check`.
    """

    model: str
    adapters: Mapping[str, str] = field(default_factory=dict)
    max_running: int = 32
    gpus: int = 0
    engine_args: Mapping[str, Any] = field(default_factory=dict)


def engine_config(settings: ModelSettings) -> EngineConfig:
    """Returns what the settings of a model say to its engine."""
    return EngineConfig(
        model=settings.model,
        adapters=settings.adapters,
        max_running=settings.limits.max_running,
        gpus=settings.gpus,
        engine_args=settings.engine_args,
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a configuration. `key` is the path below the engine's entry, e.g. `engine_args.dtype`."""

    key: str
    message: str


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
