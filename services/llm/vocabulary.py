"""A model's tokens: what each is as bytes, which of them are special, and what is said of how likely they were."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xgrammar

from gpt_server.services.llm.engine import TokenLogprob, TokenScore


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens, by id. `token_bytes`: empty for ids without text. `specials`: the text of special ones."""

    token_bytes: Sequence[bytes]
    specials: Mapping[int, str]

    @classmethod
    def of(cls, tokenizer: Any, size: int) -> "Vocabulary":
        """Returns the vocabulary of a tokenizer of transformers' kind; `size`: ids that the model knows."""
        specials = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
        return cls(_token_bytes(tokenizer, size), dict(specials))

    def certain(self, token: int) -> TokenLogprob:
        """Returns what is said of the first token of a prompt, which nothing predicts."""
        return TokenLogprob(self._score(token, 0.0))

    def scored(self, token: int, logprob: float, likeliest: Iterable[tuple[int, float]]) -> TokenLogprob:
        """Returns what is said of a token and of the likeliest at its place, given as (id, log-probability)."""
        return TokenLogprob(self._score(token, logprob), [self._score(*one) for one in likeliest])

    def _score(self, token: int, logprob: float) -> TokenScore:
        raw = self.token_bytes[token]
        return TokenScore(token, logprob, raw.decode(errors="replace"), raw)


def _token_bytes(tokenizer: Any, size: int) -> Sequence[bytes]:
    try:
        decoded: Sequence[bytes] = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size).decoded_vocab
    except (TypeError, ValueError, RuntimeError):  # no tokenizer of transformers'
        return [tokenizer.decode([token]).encode() for token in range(size)]
    return decoded
