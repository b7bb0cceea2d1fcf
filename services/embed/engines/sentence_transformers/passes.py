"""All that needs the library: features of tasks, forward passes, tokens. `engine` imports it when it starts."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from sentence_transformers.util import batch_to_device

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.embed.compare import sides_of
from gpt_server.services.embed.engine import EngineConfig, ModelDetails, Rows, Task, TokenizeRequest, Tokens
from gpt_server.services.embed.engines.sentence_transformers.features import Features, batch_of, features_of
from gpt_server.services.embed.engines.sentence_transformers.model import load

Pairs = Sequence[tuple[int, int]]


class Passes:
    """A loaded model at work. `features` and `tokens` belong to one thread, `forward` to another."""

    def __init__(self, config: EngineConfig) -> None:
        self._loaded = load(config)
        self.details: ModelDetails = self._loaded.details

    def features(self, task: Task) -> tuple[list[Features], Pairs | None]:
        """Returns the features of all items, or of both sides of all pairs and the two of each."""
        features = partial(features_of, self._loaded)
        return sides_of(task, self.details, features) if self._loaded.compares else (features(task), None)

    def tokens(self, request: TokenizeRequest) -> Tokens:
        """Returns what the model's tokeniser makes of a text."""
        tokenizer = self._loaded.model.tokenizer
        if tokenizer is None:
            raise UnsupportedFeature("text", "this model has no tokeniser for text")
        special = request.add_special_tokens is not False
        ids = tokenizer(request.text, add_special_tokens=special, truncation=False)["input_ids"]
        return Tokens(ids, tokenizer.convert_ids_to_tokens(ids) if request.return_token_strings else ())

    @torch.inference_mode()
    def forward(self, items: Sequence[Any]) -> Rows:
        """Runs a pass over features."""
        model = self._loaded.model
        rows = model(batch_to_device(batch_of(self._loaded, items), model.device))[self._loaded.output]
        return (rows if rows.ndim > 1 else rows.unsqueeze(1)).float().cpu().numpy()  # type: ignore[no-any-return]
