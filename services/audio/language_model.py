"""Language models that speak: what an engine asks of one whose tokens are sound, wherever it runs."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Drawing:
    """How tokens are drawn, how many at most, and which of them end it."""

    temperature: float
    top_k: int
    top_p: float
    seed: int | None
    max_tokens: int
    end_ids: Sequence[int]


class LanguageModel(Protocol):
    """What continues a prompt of tokens."""

    def tokens(self, prompt: Sequence[int], drawing: Drawing) -> AsyncGenerator[Sequence[int], None]:
        """Yields the tokens that come after a prompt, as they are drawn, without the one that ends it."""

    async def close(self) -> None:
        """Ends what it began."""
