"""Options that LMDeploy has no parameter for, as a logits processor of its own kind, of the pytorch backend.

Only requests that use one of them pay for it. It remembers nothing between two tokens: where LMDeploy computes in
several processes, each of them gets a copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

# Added to the logits of what the request forbids. Not infinity: where a form leaves nothing else, the form wins.
_FORBIDDEN = -1e4


@dataclass(frozen=True, slots=True)
class Shaping:
    """What is wished of one choice.

    Attributes:
        prompt: its tokens.
        padding: the token that LMDeploy fills rows up with, anywhere in them; it counts for nothing here.
        logit_bias: what is added to the logits of tokens.
        allowed: the only tokens that are sampled; empty: all.
        bad_words: sequences of tokens whose last one may not follow the others.
        presence_penalty: taken off the logits of tokens that are in the output.
        frequency_penalty: the same, for each time.
        repetition_penalty: over prompt and output; LMDeploy's own is over the output alone.
        min_tokens: how many come before one of `end_ids`; LMDeploy's own is one too many where it computes ahead.
        end_ids: tokens that end the output.
        think_begin: tokens that open the reasoning; empty: the prompt has opened it.
        think_end: tokens that close it.
        think_tokens: how many it may have; `None`: any number.
    """

    prompt: Sequence[int]
    padding: int
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    allowed: Sequence[int] = ()
    bad_words: Sequence[Sequence[int]] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    end_ids: Sequence[int] = ()
    think_begin: Sequence[int] = ()
    think_end: Sequence[int] = ()
    think_tokens: int | None = None

    @property
    def changes(self) -> bool:
        """Whether anything is wished."""
        return self != Shaping(self.prompt, self.padding, end_ids=self.end_ids)

    def __call__(self, seen: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Returns the logits of the next token, changed in place.

        Args:
            seen: the ids of prompt and output, with padding.
            logits: one for each id of the vocabulary.
        """
        output = seen[seen != self.padding][sum(token != self.padding for token in self.prompt) :]
        self._penalise(output, logits)
        for token, bias in self.logit_bias.items():
            logits[token] += bias
        if self.end_ids and len(output) < self.min_tokens:
            logits[list(self.end_ids)] += _FORBIDDEN
        if self.allowed:
            allowed = torch.tensor(self.allowed, device=logits.device)
            kept = logits[allowed]
            logits += _FORBIDDEN
            logits[allowed] = kept
        if self.bad_words or self.think_tokens is not None:
            self._forbid(output.tolist(), logits)
        return logits

    def _penalise(self, output: torch.Tensor, logits: torch.Tensor) -> None:
        if self.repetition_penalty != 1.0:
            prompt = torch.tensor(self.prompt, device=logits.device)
            tokens = torch.cat([prompt[prompt < len(logits)], output]).unique()  # type: ignore[no-untyped-call]  # places of pictures may be beyond
            found = logits[tokens]
            logits[tokens] = torch.where(found > 0, found / self.repetition_penalty, found * self.repetition_penalty)
        if self.presence_penalty or self.frequency_penalty:
            tokens, counts = output.unique(return_counts=True)  # type: ignore[no-untyped-call]
            logits[tokens] -= (self.presence_penalty + self.frequency_penalty * counts).to(logits.dtype)

    def _forbid(self, output: list[int], logits: torch.Tensor) -> None:
        for *before, last in self.bad_words:
            if not before or output[-len(before) :] == before:
                logits[last] += _FORBIDDEN
        if (token := self._due(output)) is not None and torch.isfinite(logits[token]):
            value = logits[token].clone()
            logits.fill_(-torch.inf)
            logits[token] = value

    def _due(self, output: list[int]) -> int | None:
        """Returns the next token of the end of the reasoning, if the reasoning has had its tokens."""
        begin, end = list(self.think_begin), list(self.think_end)
        if self.think_tokens is None or output[: len(begin)] != begin:
            return None
        if any(output[at : at + len(end)] == end for at in range(len(output))):
            return None
        written = next(size for size in range(len(end) - 1, -1, -1) if output[len(output) - size :] == end[:size])
        return end[written] if len(output) - written >= self.think_tokens else None
