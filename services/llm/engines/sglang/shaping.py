"""Options that SGLang has no parameter for, as a logit processor of its own kind; runs in its scheduler.

Only requests that use one of them pay for it. A request brings its `Wishes` as JSON in `custom_params`, whose values
SGLang allows no depth.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

#: Key in `custom_params`.
KEY = "gpt_server"
# Added to the logits of what the request forbids. Not infinity: where a form leaves nothing else, the form wins.
_FORBIDDEN = -1e4


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wished of one choice.

    Attributes:
        allowed: the only tokens that are sampled; empty: all.
        bad_words: sequences of tokens whose last one may not follow the others.
        presence_penalty, frequency_penalty: over the output; SGLang's own lag a token behind, since it computes ahead.
        repetition_penalty: over prompt and output; SGLang's own is over the output alone.
        seed: the choice is drawn from it; `None`: SGLang draws.
        draw: temperature, top_k, top_p and min_p of that.
        think_begin: tokens that open the reasoning; empty: the prompt has opened it.
        think_end: tokens that close it.
        think_tokens: how many it may have; `None`: any number.
    """

    allowed: Sequence[int] = ()
    bad_words: Sequence[Sequence[int]] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    draw: tuple[float, int, float, float] = (1.0, 0, 1.0, 0.0)
    think_begin: Sequence[int] = ()
    think_end: Sequence[int] = ()
    think_tokens: int | None = None

    def params(self) -> dict[str, str]:
        """Returns them as `custom_params`."""
        return {KEY: json.dumps(asdict(self))}


class Shaping(CustomLogitProcessor):  # type: ignore[misc]
    """Changes logits as `Wishes` say."""

    def __call__(self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None) -> torch.Tensor:
        """Returns logits, rows x vocabulary, changed in place."""
        for row, params in zip(logits, custom_param_list or (), strict=True):
            if KEY in params:
                wishes = params.setdefault(f"{KEY}_read", Wishes(**json.loads(params[KEY])))
                request = params["__req__"]
                _shape(row, wishes, list(request.origin_input_ids), list(request.output_ids), params)
        return logits


@cache
def shaping() -> str:
    """Returns `Shaping` as SGLang's requests name it.

    While this module is imported a copy of the class would be packed, with the half of the module that there is.
    """
    return str(Shaping.to_str())


def _shape(row: torch.Tensor, wishes: Wishes, prompt: list[int], output: list[int], state: dict[str, Any]) -> None:
    if wishes.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*prompt, *output}), device=row.device)
        seen = seen[seen < len(row)]  # places of pictures have ids beyond the vocabulary
        penalty = wishes.repetition_penalty
        row[seen] = torch.where(row[seen] > 0, row[seen] / penalty, row[seen] * penalty)
    if wishes.presence_penalty or wishes.frequency_penalty:
        counts = torch.bincount(torch.tensor(output, dtype=torch.long), minlength=len(row)).to(row.device)
        row -= wishes.frequency_penalty * counts + wishes.presence_penalty * (counts > 0)
    if wishes.allowed:
        allowed = torch.tensor(wishes.allowed, device=row.device)
        kept = row[allowed].clone()
        row += _FORBIDDEN
        row[allowed] = kept
    for *before, last in wishes.bad_words:
        if not before or output[-len(before) :] == before:
            row[last] += _FORBIDDEN
    if wishes.think_tokens is not None and (token := _due(wishes, output, state)) is not None:
        _force(row, token)
    if wishes.seed is not None:
        _force(row, _drawn(row, wishes.seed + len(output), wishes.draw))


def _force(row: torch.Tensor, token: int) -> None:
    """Leaves one token, unless a form forbids it."""
    value = row[token].clone()
    if torch.isfinite(value):
        row.fill_(-torch.inf)
        row[token] = value


def _due(wishes: Wishes, output: list[int], state: dict[str, Any]) -> int | None:
    """Returns the next token of the end of the reasoning, if the reasoning has had its tokens."""
    begin, end = list(wishes.think_begin), list(wishes.think_end)
    if state.get(f"{KEY}_thought") or output[: len(begin)] != begin or wishes.think_tokens is None:
        return None
    if output[-len(end) :] == end:
        state[f"{KEY}_thought"] = True
        return None
    written = next(size for size in range(len(end) - 1, -1, -1) if output[len(output) - size :] == end[:size])
    return end[written] if len(output) - written >= wishes.think_tokens else None


def _drawn(row: torch.Tensor, seed: int, draw: tuple[float, int, float, float]) -> int:
    """Returns a token drawn from a seed: the same for the same logits, whatever else is in the batch."""
    temperature, top_k, top_p, min_p = draw
    probs, tokens = (row.float() / temperature).softmax(-1).sort(descending=True)
    if top_k > 0:
        probs[top_k:] = 0
    probs[(probs.cumsum(-1) - probs) >= top_p] = 0
    probs[probs < probs[0] * min_p] = 0
    generator = torch.Generator().manual_seed(seed)
    noise = torch.empty(len(probs)).exponential_(generator=generator).to(probs.device)
    return int(tokens[(probs / noise).argmax()])
