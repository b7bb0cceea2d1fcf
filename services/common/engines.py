"""Engines of any modality: what `services.common` asks of one, and how it is found by name."""

import asyncio
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from gpt_server.services.common.config import ModelSettings


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a configuration says about one engine.

    `model`: a folder, or a hub id. `adapters`: name -> folder; `adapter_folder`: where more may be loaded from later.
    `max_running`: sequences at the same time. `gpus`: how many the replica may use; 0 is a CPU. `engine_args`: checked
    by the engine's `check`.
    """

    model: str
    adapters: Mapping[str, str] = field(default_factory=dict)
    max_running: int = 32
    gpus: int = 0
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    adapter_folder: Path | None = None


def engine_config(settings: ModelSettings) -> EngineConfig:
    """Returns what the settings of a model say to its engine."""
    return EngineConfig(
        model=settings.model,
        adapters=settings.adapters,
        max_running=settings.limits.max_running,
        gpus=settings.gpus,
        engine_args=settings.engine_args,
        adapter_folder=settings.adapter_folder,
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


DetailsT_co = TypeVar("DetailsT_co", bound=Details, covariant=True)


class Engine(ABC, Generic[DetailsT_co]):
    """Runs one model in this process; the part of its life that does not depend on its modality.

    Life: `check` (no instance, nothing loaded) · `__init__` (cheap) · `start` · many requests at once · `close`.
    All coroutines run on one event loop and never block it for longer than a few milliseconds.
    """

    #: How the library is called in configurations, metrics and `ModelDescription.engine`.
    name: ClassVar[str]

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        #: Set by the engine when it has died; the service then fails its calls and exits.
        self.died = asyncio.Event()

    @classmethod
    @abstractmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration, without loading the model.

        Names and values in `engine_args` are held against the library's own, and a local model folder must
        exist and look like one.
        """

    @abstractmethod
    async def start(self) -> DetailsT_co:
        """Loads the model and returns what it is.

        Raises:
            Exception: of any kind, with a message for the operator; the process exits with it.
        """

    @abstractmethod
    async def close(self) -> None:
        """Ends everything that `start` began. Called once, also after `died`; running requests are aborted."""


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
