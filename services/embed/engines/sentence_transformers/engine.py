"""The engine: the library's model, its tokeniser in one thread, its forward passes in another.

Importing the library takes many seconds, so that is left until the model is loaded: `check` needs none of it.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpt_server.services.embed.batcher import Batcher, Item
from gpt_server.services.embed.compare import cosines
from gpt_server.services.embed.engine import (
    Computed,
    EmbedEngine,
    EngineConfig,
    ModelDetails,
    Prepared,
    Problem,
    Task,
    TokenizeRequest,
    Tokens,
)
from gpt_server.services.embed.engines.sentence_transformers import arguments
from gpt_server.services.embed.engines.sentence_transformers.arguments import Arguments

if TYPE_CHECKING:
    from gpt_server.services.embed.engines.sentence_transformers.passes import Passes


@dataclass(slots=True)
class PreparedFeatures(Prepared):
    """A task as features. `pairs`: the two items of each, if the model compares vectors."""

    items: Sequence[Item]
    priority: int
    pairs: Sequence[tuple[int, int]] | None = None


class SentenceTransformersEngine(EmbedEngine):
    """See `EmbedEngine`. `engine_args`: see `Arguments`."""

    name = "sentence_transformers"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._passes: Passes
        self._batcher: Batcher | None = None

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads the model in a thread."""
        self._passes = await asyncio.to_thread(_load, self.config)
        said = Arguments.model_validate(dict(self.config.engine_args))
        self._batcher = Batcher(self._passes.forward, said.max_batch_tokens, said.max_batch_inputs)
        return self._passes.details

    async def close(self) -> None:
        """Ends both threads."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        if self._batcher is not None:
            await self._batcher.close()

    async def prepare(self, task: Task) -> PreparedFeatures:
        """Tokenises, decodes pictures, and refuses what is too long."""
        loop = asyncio.get_running_loop()
        items, pairs = await loop.run_in_executor(self._tokenizing, self._passes.features, task)
        return PreparedFeatures(sum(item.tokens for item in items), items, task.options.priority or 0, pairs)

    async def compute(self, prepared: Prepared) -> Computed:
        """Goes through the batcher."""
        if not isinstance(prepared, PreparedFeatures) or self._batcher is None:
            raise TypeError("prepared by another engine")
        computed = await self._batcher.compute(prepared.items, prepared.priority)
        return computed if prepared.pairs is None else replace(computed, rows=cosines(computed.rows, prepared.pairs))

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Asks the model's tokeniser."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._passes.tokens, request)


def _load(config: EngineConfig) -> "Passes":
    from gpt_server.services.embed.engines.sentence_transformers.passes import Passes

    return Passes(config)
