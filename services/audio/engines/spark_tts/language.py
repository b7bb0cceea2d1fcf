"""The language half in this process; `services/audio/llm_client.py` asks a service of ours."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils.logging import disable_progress_bar

from gpt_server.services.audio.language_model import Drawing
from gpt_server.services.audio.library_thread import LibraryThread

STEPS = 8
"""Tokens that are drawn before another request has its turn."""


class LocalLanguageModel:
    """A causal model of transformers in this process."""

    def __init__(self, folder: Path, device: str, dtype: str, thread: LibraryThread) -> None:
        disable_progress_bar()  # the log of a service is lines, perhaps of JSON
        chosen = dtype if dtype == "auto" else getattr(torch, dtype)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=chosen)
        self._model = model.to(device).eval()
        self._thread = thread

    async def tokens(self, prompt: Sequence[int], drawing: Drawing) -> AsyncGenerator[Sequence[int], None]:
        """Draws a few tokens at a time."""
        row = _Row(self._model, prompt, drawing)
        while not row.ended:
            if found := await self._thread.run(row.steps):
                yield found

    async def close(self) -> None:
        """Nothing was begun."""


class _Row:
    """One prompt and what comes after it."""

    def __init__(self, model: Any, prompt: Sequence[int], drawing: Drawing) -> None:
        self._model, self._drawing = model, drawing
        self._next = list(prompt)
        self._cache = DynamicCache(config=model.config)
        self._generator = torch.Generator(model.device)
        if drawing.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(drawing.seed)
        self._count = 0
        self.ended = drawing.max_tokens < 1

    @torch.inference_mode()
    def steps(self) -> Sequence[int]:
        """Returns the next few tokens."""
        found: list[int] = []
        for _ in range(STEPS):
            ids = torch.tensor([self._next], device=self._model.device)
            scores = self._model(ids, past_key_values=self._cache, logits_to_keep=1).logits[0, -1].float()
            token = draw(scores, self._drawing, self._generator)
            if token in self._drawing.end_ids:
                self.ended = True
                break
            found.append(token)
            self._next = [token]
            self._count += 1
            if self._count >= self._drawing.max_tokens:
                self.ended = True
                break
        return found


def draw(scores: torch.Tensor, drawing: Drawing, generator: torch.Generator) -> int:
    """Returns a token, drawn from the likeliest."""
    if drawing.temperature == 0:
        return int(scores.argmax())
    best, tokens = scores.topk(min(drawing.top_k, len(scores)))
    likely = (best / drawing.temperature).softmax(-1)
    likely[likely.cumsum(-1) - likely > drawing.top_p] = 0
    return int(tokens[torch.multinomial(likely, 1, generator=generator)])
