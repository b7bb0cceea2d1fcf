"""From logits to tokens: all rows of a step at once, and a row pays for nothing it does not use."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import xgrammar

_GREEDY_BELOW = 1e-5
# Added to the logits of what the request forbids. Not infinity: where a form leaves nothing else, the form wins.
_FORBIDDEN = -1e4
# Rows of a prompt's logits that are in float32 at the same time.
_ROWS_A_SLICE = 64


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """`Sampling` with every default filled in. Same names, same meaning; `logprobs` is None or how many."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    min_tokens: int
    max_tokens: int
    seed: int | None
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    logit_bias: dict[int, float]
    logprobs: int | None
    #: Sequences of tokens whose last one may not follow the others.
    bad_words: Sequence[Sequence[int]]
    #: The only tokens that are sampled; empty: all.
    allowed_token_ids: Sequence[int]
    #: Tokens that end a choice, end-of-sequence included.
    end_ids: Sequence[int]

    @property
    def greedy(self) -> bool:
        return self.temperature < _GREEDY_BELOW


@dataclass(slots=True)
class SamplingState:
    """What sampling knows of one row: its plan, its random numbers and what it has sampled so far."""

    plan: SamplingPlan
    matcher: xgrammar.GrammarMatcher | None = None
    generator: torch.Generator | None = None
    produced: int = 0
    #: Tokens that come next, whatever the model says.
    forced: list[int] = field(default_factory=list)
    _prompt: torch.Tensor | None = None
    _counts: torch.Tensor | None = None
    _bias: tuple[torch.Tensor, torch.Tensor] | None = None
    _forbidden: torch.Tensor | None = None
    _sampled: list[int] = field(default_factory=list)

    @classmethod
    def create(
        cls, plan: SamplingPlan, choice: int, prompt: Sequence[int], vocab_size: int, device: torch.device
    ) -> "SamplingState":
        """Makes the state of a choice. Choices of one seed have random numbers of their own."""
        state = cls(plan)
        if plan.seed is not None:
            state.generator = torch.Generator(device)
            state.generator.manual_seed((plan.seed + choice * 0x9E3779B97F4A7C15) % 2**63)
        if plan.presence_penalty or plan.frequency_penalty or plan.repetition_penalty != 1:
            state._counts = torch.zeros(vocab_size, device=device)
        if plan.repetition_penalty != 1:
            state._prompt = torch.zeros(vocab_size, dtype=torch.bool, device=device)
            state._prompt[torch.tensor(list(prompt), device=device)] = True
        if plan.logit_bias:
            ids = torch.tensor(list(plan.logit_bias), device=device)
            state._bias = ids, torch.tensor(list(plan.logit_bias.values()), device=device)
        if plan.allowed_token_ids:
            state._forbidden = torch.full((vocab_size,), _FORBIDDEN, device=device)
            state._forbidden[torch.tensor(list(plan.allowed_token_ids), device=device)] = 0
        return state

    def shape(self, logits: torch.Tensor) -> None:
        """Applies penalties, bias and bans to one row's logits, in place."""
        if self._counts is not None:
            self._penalise(logits, self._counts)
        if self._bias is not None:
            logits[self._bias[0]] += self._bias[1]
        if self._forbidden is not None:
            logits += self._forbidden
        if self.plan.bad_words:
            logits[self._ends_of_bad_words()] += _FORBIDDEN
        # Where a grammar says when the end may come, `min_tokens` could leave no token at all.
        if self.produced < self.plan.min_tokens and self.matcher is None:
            logits[list(self.plan.end_ids)] = -torch.inf

    @property
    def complete(self) -> bool:
        """Whether a grammar has come to its end."""
        return self.matcher is not None and self.matcher.is_terminated()

    def accept(self, token_id: int) -> None:
        """Counts a sampled token."""
        self.produced += 1
        if self.plan.bad_words:
            self._sampled.append(token_id)
        if self._counts is not None:
            self._counts[token_id] += 1
        if self.matcher is not None:
            self.matcher.accept_token(token_id)

    def _ends_of_bad_words(self) -> list[int]:
        """Returns the tokens that would complete a bad word now, each once."""
        sampled = self._sampled
        words = ((word[:-1], word[-1]) for word in self.plan.bad_words)
        return list({last for begun, last in words if sampled[len(sampled) - len(begun) :] == list(begun)})

    def _penalise(self, logits: torch.Tensor, counts: torch.Tensor) -> None:
        if self._prompt is not None:
            penalty = self.plan.repetition_penalty
            penalised = torch.where(logits > 0, logits / penalty, logits * penalty)
            logits.copy_(torch.where(self._prompt | (counts > 0), penalised, logits))
        logits -= self.plan.frequency_penalty * counts + self.plan.presence_penalty * (counts > 0)


@dataclass(frozen=True, slots=True)
class Sampled:
    """One row's token; with `logprobs` its log-probability and the likeliest `(id, logprob)` pairs."""

    token_id: int
    logprob: float = 0.0
    top: Sequence[tuple[int, float]] = ()


@torch.inference_mode()
def sample(logits: torch.Tensor, states: Sequence[SamplingState]) -> list[Sampled]:
    """Samples one token per row.

    Args:
        logits: float32, rows x vocabulary; changed in place.
        states: one per row.
    """
    wanted = [row for row, state in enumerate(states) if state.plan.logprobs is not None]
    logprobs = torch.log_softmax(logits[wanted], -1) if wanted else None
    for row, state in enumerate(states):
        state.shape(logits[row])
    _mask(logits, states)
    tokens = _choose(logits, states).tolist()
    for row, state in enumerate(states):
        if state.forced:
            tokens[row] = state.forced.pop(0)
    sampled = [Sampled(token) for token in tokens]
    if logprobs is not None:
        for at, row in enumerate(wanted):
            sampled[row] = _score(logprobs[at], tokens[row], states[row].plan.logprobs or 0)
    return sampled


def _mask(logits: torch.Tensor, states: Sequence[SamplingState]) -> None:
    rows = [row for row, state in enumerate(states) if state.matcher is not None and not state.forced]
    if not rows:
        return
    bitmask = xgrammar.allocate_token_bitmask(len(states), logits.shape[1])
    for row in rows:
        states[row].matcher.fill_next_token_bitmask(bitmask, row)  # type: ignore[union-attr]
    xgrammar.apply_token_bitmask_inplace(logits, bitmask.to(logits.device), indices=rows)


def _choose(logits: torch.Tensor, states: Sequence[SamplingState]) -> torch.Tensor:
    tokens = logits.argmax(-1)
    rows = [row for row, state in enumerate(states) if not state.plan.greedy]
    if rows:
        drawn = _draw(logits[rows], [states[row] for row in rows])
        tokens[rows] = drawn
    return tokens


def _draw(logits: torch.Tensor, states: Sequence[SamplingState]) -> torch.Tensor:
    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    probs = torch.softmax(logits / column([state.plan.temperature for state in states]), -1)
    if any(state.plan.top_k > 0 or state.plan.top_p < 1 for state in states):
        # 2.0 is above every sum, so that a row without top_p is left exactly as it is.
        top_p = column([state.plan.top_p if state.plan.top_p < 1 else 2.0 for state in states])
        top_k = column([state.plan.top_k if state.plan.top_k > 0 else logits.shape[1] for state in states])
        _keep_top(probs, top_p, top_k)
    if any(state.plan.min_p > 0 for state in states):
        floor = column([state.plan.min_p for state in states]) * probs.amax(-1, keepdim=True)
        probs[probs < floor] = 0
    # The least of exponential arrival times with these rates: a draw from `probs` that, unlike a sum up to a
    # random number, changes with no probability but those of the two first.
    noise = torch.empty_like(probs).exponential_()
    for row, state in enumerate(states):
        if state.generator is not None:
            noise[row].exponential_(generator=state.generator)
    return (probs / noise.clamp_min_(torch.finfo(noise.dtype).tiny)).argmax(-1)


def _keep_top(probs: torch.Tensor, top_p: torch.Tensor, top_k: torch.Tensor) -> None:
    ordered, order = probs.sort(-1, descending=True)
    ordered[torch.arange(probs.shape[1], device=probs.device) >= top_k] = 0
    before = ordered.cumsum(-1) - ordered
    ordered[before >= top_p * ordered.sum(-1, keepdim=True)] = 0
    probs.scatter_(1, order, ordered)


@torch.inference_mode()
def score_prompt(logits: torch.Tensor, token_ids: Sequence[int], count: int) -> list[Sampled]:
    """Returns how likely the tokens of a prompt were, each with the `count` likeliest ones at its place.

    Args:
        logits: tokens x vocabulary, of any dtype; changed by nothing.
        token_ids: the token that came after each row.
        count: how many.
    """
    scored: list[Sampled] = []
    for begin in range(0, len(token_ids), _ROWS_A_SLICE):
        ids = list(token_ids[begin : begin + _ROWS_A_SLICE])
        logprobs = torch.log_softmax(logits[begin : begin + len(ids)].float(), -1)
        values, likeliest = (part.tolist() for part in logprobs.topk(min(count, logprobs.shape[1])))
        own = logprobs[torch.arange(len(ids)), ids].tolist()
        tops = (list(zip(*pair, strict=True)) for pair in zip(likeliest, values, strict=True))
        scored += [Sampled(*each) for each in zip(ids, own, tops, strict=True)]
    return scored


def _score(logprobs: torch.Tensor, token_id: int, count: int) -> Sampled:
    values, ids = logprobs.topk(min(count, logprobs.shape[0]))
    top = list(zip(ids.tolist(), values.tolist(), strict=True))
    return Sampled(token_id, logprobs[token_id].item(), top)
