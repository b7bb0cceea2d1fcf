"""Rows by rule, one token per word, no model. For tests of everything around engines.

A vector depends on the words of a text and on nothing else; a score is the share of the query's words that the document
has, as a raw number that a sigmoid spreads; a label's score is how often its name is in the text. A text
`{"fake": {...}}` scripts a fault; the keys are the fields of `Script`. Tests in the same process can hold all requests
at a gate, and await what they need: `gates`, `idle`, `computed`.
"""

import asyncio
import hashlib
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt_server.services.common.errors import ContextLengthExceeded, EngineUnavailable, InvalidField, InvalidMedia
from gpt_server.services.common.gates import Gate
from gpt_server.services.embed.batcher import Batcher, Item
from gpt_server.services.embed.engine import (
    Computed,
    EmbedEngine,
    EngineConfig,
    Input,
    ModelDetails,
    Pair,
    Prepared,
    Problem,
    Rows,
    Task,
    TokenizeRequest,
    Tokens,
)

PHASES = ("prepare", "compute")
DIMENSIONS = 16
LABELS = ("safe", "violence", "self-harm", "custom")
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")


class Script(BaseModel):
    """What a text asks for under the key `fake`. `crash`: an unexpected error; `die`: the engine has died."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fail: bool = False
    crash: bool = False
    die: bool = False


class EngineArgs(BaseModel):
    """What `engine_args` may hold; times in seconds. `load_error`: `start` fails with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Literal["embedding", "rerank", "classification"] = "embedding"
    pass_s: float = Field(default=0.0, ge=0)
    load_s: float = Field(default=0.0, ge=0)
    load_error: str = ""
    max_context_tokens: int = Field(default=512, ge=1)


@dataclass(frozen=True, slots=True)
class FakeItem:
    """The words of an input, or of both sides of a pair."""

    first: Sequence[str]
    second: Sequence[str] = ()

    @property
    def tokens(self) -> int:
        """One for each word."""
        return len(self.first) + len(self.second)

    @property
    def group(self) -> Hashable:
        """All can share a pass."""
        return ""


@dataclass(slots=True)
class FakePrepared(Prepared):
    """A task as words."""

    items: Sequence[FakeItem]
    priority: int


class FakeEngine(EmbedEngine):
    """The engine. `engine_args`: see `EngineArgs`."""

    name = "fake"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.gates = {phase: Gate() for phase in PHASES}
        self.idle = asyncio.Event()
        """Set while no task is computed."""
        self.idle.set()
        self.computed = 0
        """Items computed so far."""
        self._args = EngineArgs.model_validate(config.engine_args)
        self._running = 0
        self._batcher: Batcher | None = None

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns unknown arguments and such of a wrong type."""
        try:
            EngineArgs.model_validate(config.engine_args)
        except ValidationError as error:
            return [Problem(f"engine_args.{fault['loc'][0]}", fault["msg"]) for fault in error.errors()]
        return []

    async def start(self) -> ModelDetails:
        """Waits for `load_s`, and fails if `load_error` says so."""
        await asyncio.sleep(self._args.load_s)
        if self._args.load_error:
            raise RuntimeError(self._args.load_error)
        self._batcher = Batcher(self._forward, max_tokens=4096, max_items=32)
        embeds, classifies = (self._args.task == task for task in ("embedding", "classification"))
        return ModelDetails(
            max_context_tokens=self._args.max_context_tokens,
            capabilities=frozenset({self._args.task, "image_input"}),
            dimensions=DIMENSIONS if embeds else None,
            matryoshka_dimensions=(8,) if embeds else (),
            prompts={"query": "query: ", "passage": ""},
            default_prompt_name="passage",
            labels=LABELS if classifies else (),
            activation="none" if embeds else "sigmoid",
        )

    async def close(self) -> None:
        """Ends the thread."""
        if self._batcher:
            await self._batcher.close()

    async def prepare(self, task: Task) -> FakePrepared:
        """Cuts inputs into words, and those that are too long, if that is asked for."""
        await self.gates["prepare"].passed()
        items = [self._item(item, path, task) for item, path in zip(task.items, task.paths, strict=True)]
        return FakePrepared(sum(item.tokens for item in items), items, task.options.priority or 0)

    async def compute(self, prepared: Prepared) -> Computed:
        """Waits at the gate, then goes through the batcher."""
        if not isinstance(prepared, FakePrepared) or self._batcher is None:
            raise TypeError("prepared by another engine")
        self._running += 1
        self.idle.clear()
        try:
            await self.gates["compute"].passed()
            self._play(prepared)
            return await self._batcher.compute(prepared.items, prepared.priority)
        finally:
            self._running -= 1
            if not self._running:
                self.idle.set()

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Returns a number for each word: its place in the text."""
        words = request.text.split()
        return Tokens(range(len(words)), words if request.return_token_strings else ())

    def _item(self, item: Input | Pair, path: str, task: Task) -> FakeItem:
        sides = (item.first, item.second) if isinstance(item, Pair) else (item,)
        cut = task.options.truncate_prompt_tokens
        limit = self._args.max_context_tokens if cut in (None, -1) else cut
        words = [_words(side, path) for side in sides]
        words[0] = [*self._prompt(task), *words[0]]
        found = FakeItem(*words)
        if cut is None and found.tokens > (limit or 0):
            raise ContextLengthExceeded(self._args.max_context_tokens, found.tokens, field=path)
        return FakeItem(*(side[:limit] for side in words))

    def _prompt(self, task: Task) -> list[str]:
        if task.options.prompt is not None:
            return task.options.prompt.split()
        return ["query:"] if task.options.prompt_name == "query" else []

    def _play(self, prepared: FakePrepared) -> None:
        for item in prepared.items:
            script = _script(" ".join(item.first))
            if script.die:
                self.died.set()
            if script.die or script.fail or self.died.is_set():
                raise EngineUnavailable("the engine has failed, as scripted")
            if script.crash:
                raise RuntimeError("secret: the engine has crashed, as scripted")

    def _forward(self, items: Sequence[Item]) -> Rows:
        self.computed += len(items)
        return np.array([self._row(item) for item in items], dtype=np.float32)

    def _row(self, item: Any) -> Sequence[float]:
        if self._args.task == "embedding":
            return _vector(item.first)
        if self._args.task == "rerank":
            return [8 * len({*item.first} & {*item.second}) / len({*item.first}) - 4]
        return [4.0 if label in item.first else -4.0 for label in LABELS]


def _words(side: Input, path: str) -> list[str]:
    if side.token_ids is not None:
        return [f"#{token_id}" for token_id in side.token_ids]
    if side.text is not None:
        return side.text.split() or [side.text]
    words: list[str] = []
    for part in side.parts or ():
        if part.image is not None and not part.image.media.content.startswith(SIGNATURES):
            raise InvalidMedia(path, "not a picture in a known format")
        words += (part.text or "<image>").split()
    return words


def _script(text: str) -> Script:
    if not text.startswith('{"fake":'):
        return Script()
    try:
        return Script.model_validate(json.loads(text)["fake"])
    except (ValueError, ValidationError) as error:
        raise InvalidField("inputs", f"not a script of the fake engine: {error}") from None


def _vector(words: Sequence[str]) -> Sequence[float]:
    """The sum of a vector for each word, which its hash gives."""
    digests = [hashlib.sha256(word.encode()).digest()[:DIMENSIONS] for word in words]
    return [sum(digest[i] - 127.5 for digest in digests) for i in range(DIMENSIONS)]
