"""The engine: the library's model, its tokeniser in one thread, its forward passes in another."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from sentence_transformers.util import batch_to_device

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.embed.batcher import Batcher, Item
from gpt_server.services.embed.engine import (
    Computed,
    EmbedEngine,
    EngineConfig,
    ModelDetails,
    Prepared,
    Problem,
    Rows,
    Task,
    TokenizeRequest,
    Tokens,
)
from gpt_server.services.embed.engines.sentence_transformers import arguments
from gpt_server.services.embed.engines.sentence_transformers.arguments import Arguments
from gpt_server.services.embed.engines.sentence_transformers.compare import cosines, sides_of
from gpt_server.services.embed.engines.sentence_transformers.features import Features, batch_of, features_of
from gpt_server.services.embed.engines.sentence_transformers.model import LoadedModel, load


@dataclass(slots=True)
class PreparedFeatures(Prepared):
    """A task as features. `pairs`: the two items of each, if the model compares vectors."""

    items: Sequence[Features]
    priority: int
    pairs: Sequence[tuple[int, int]] | None = None


class SentenceTransformersEngine(EmbedEngine):
    """See `EmbedEngine`. `engine_args`: see `Arguments`."""

    name = "sentence_transformers"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._loaded: LoadedModel
        self._batcher: Batcher | None = None

    @classmethod
    def check(cls, config: EngineConfig) -> Sequence[Problem]:
        """Returns what is wrong with a configuration."""
        return arguments.check(config)

    async def start(self) -> ModelDetails:
        """Loads the model in a thread."""
        self._loaded = await asyncio.to_thread(load, self.config)
        said = Arguments.model_validate(dict(self.config.engine_args))
        self._batcher = Batcher(self._forward, said.max_batch_tokens, said.max_batch_inputs)
        return self._loaded.details

    async def close(self) -> None:
        """Ends both threads."""
        self._tokenizing.shutdown(wait=False, cancel_futures=True)
        if self._batcher is not None:
            await self._batcher.close()

    async def prepare(self, task: Task) -> PreparedFeatures:
        """Tokenises, decodes pictures, and refuses what is too long."""
        loop = asyncio.get_running_loop()
        pairs = None
        if self._loaded.compares:
            items, pairs = await loop.run_in_executor(self._tokenizing, sides_of, self._loaded, task)
        else:
            items = await loop.run_in_executor(self._tokenizing, features_of, self._loaded, task)
        return PreparedFeatures(sum(item.tokens for item in items), items, task.options.priority or 0, pairs)

    async def compute(self, prepared: Prepared) -> Computed:
        """Goes through the batcher."""
        if not isinstance(prepared, PreparedFeatures) or self._batcher is None:
            raise TypeError("prepared by another engine")
        computed = await self._batcher.compute(prepared.items, prepared.priority)
        return computed if prepared.pairs is None else replace(computed, rows=cosines(computed.rows, prepared.pairs))

    async def tokenize(self, request: TokenizeRequest) -> Tokens:
        """Asks the model's tokeniser."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._tokens, request)

    def _tokens(self, request: TokenizeRequest) -> Tokens:
        tokenizer = self._loaded.model.tokenizer
        if tokenizer is None:
            raise UnsupportedFeature("text", "this model has no tokeniser for text")
        special = request.add_special_tokens is not False
        ids = tokenizer(request.text, add_special_tokens=special, truncation=False)["input_ids"]
        return Tokens(ids, tokenizer.convert_ids_to_tokens(ids) if request.return_token_strings else ())

    @torch.inference_mode()
    def _forward(self, items: Sequence[Item]) -> Rows:
        """Runs a pass, in the batcher's thread."""
        features: Any = items
        model = self._loaded.model
        rows = model(batch_to_device(batch_of(self._loaded, features), model.device))[self._loaded.output]
        return (rows if rows.ndim > 1 else rows.unsqueeze(1)).float().cpu().numpy()  # type: ignore[no-any-return]
