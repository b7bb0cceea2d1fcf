"""Which of several replicas answers a request: the whole policy, on plain numbers.

Two replicas are taken at random, more often those of more capacity, and beside them those that have lately seen the
longest beginning of the same prompt, or that the request's own key points to. The best score answers:

    score = affinity - load_weight * load / (mean load + one request),     affinity and load in shares, 0 to 1

With `load_weight` 1 a replica that holds the whole prompt may be about twice as busy as the others before another one
computes it anew; a beginning that all prompts share is soon held everywhere, and load alone decides. Two choices, not
the least of all: edges that do not know of each other's latest calls would all rush to the same replica.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from math import log
from operator import itemgetter
from typing import NamedTuple

from gpt_server.edge.config import RoutingSettings

BLOCK_BYTES = 1024
"""A beginning is compared in steps of this size, some 200 tokens."""
BLOCKS_OF_PROMPT = 256
BLOCKS_KNOWN = 1 << 16
"""Beginnings that one edge remembers; about 20 MB."""
HOLDERS_KNOWN = 8

RANDOM = random.Random()  # noqa: S311 (no secret)


class Candidate(NamedTuple):
    """A replica that could answer. `requests`: that it runs and has waiting; `capacity`: how many it runs at a time."""

    address: str
    requests: float
    capacity: int

    @property
    def load(self) -> float:
        """Requests per place."""
        return self.requests / self.capacity


@dataclass(frozen=True, slots=True)
class Affinity:
    """Where a request would best be answered.

    Attributes:
        blocks: of its prompt, from `blocks_of`.
        key: requests with the same one belong together. Empty: this one belongs to none.
    """

    blocks: Sequence[int] = ()
    key: str = ""


class Choice(NamedTuple):
    """Who answers. `reason`: `load`, `prefix` or `key`."""

    address: str
    reason: str


ANYWHERE = Affinity()


def blocks_of(prompt: bytes, apart: str = "") -> list[int]:
    """Returns a number for each whole block of a prompt; it stands for all that comes before, too.

    Args:
        prompt: as bytes, in an order in which equal beginnings are equal bytes.
        apart: prompts for which this differs share nothing.
    """
    blocks, block = [], hash(apart)
    end = min(len(prompt), BLOCKS_OF_PROMPT * BLOCK_BYTES)
    for begin in range(0, end - BLOCK_BYTES + 1, BLOCK_BYTES):
        block = hash((block, prompt[begin : begin + BLOCK_BYTES]))
        blocks.append(block)
    return blocks


class Prefixes:
    """Which replicas were sent which beginnings of prompts: the last `limit` blocks in use."""

    def __init__(self, limit: int = BLOCKS_KNOWN) -> None:
        self._limit = limit
        self._holders: OrderedDict[int, tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._holders)

    def shares(self, blocks: Sequence[int]) -> dict[str, float]:
        """Returns address -> how much of a prompt, 0 to 1, that replica has seen."""
        seen: dict[tuple[str, ...], int] = {}
        for number, block in enumerate(blocks, 1):
            if (holders := self._holders.get(block)) is None:
                break
            seen[holders] = number
        by_depth = sorted(seen.items(), key=itemgetter(1))
        return {address: number / len(blocks) for holders, number in by_depth for address in holders}

    def note(self, blocks: Sequence[int], address: str) -> None:
        """Notes that a prompt goes to a replica."""
        for block in reversed(blocks):  # ends are forgotten before beginnings
            holders = self._holders.get(block, ())
            if address not in holders:
                self._holders[block] = (address, *holders)[:HOLDERS_KNOWN]
            self._holders.move_to_end(block)
        while len(self._holders) > self._limit:
            self._holders.popitem(last=False)


class Router:
    """Chooses, and remembers what went where. Belongs to one event loop."""

    def __init__(self, settings: RoutingSettings) -> None:
        self._load_weight = settings.load_weight
        self._prefixes = Prefixes()
        self._turns = count()
        policies: Mapping[str, Callable[[Sequence[Candidate], Affinity], Choice]] = {
            "affinity": self._by_score,
            "least_load": lambda candidates, _: self._by_score(candidates, ANYWHERE),
            "random": lambda candidates, _: Choice(RANDOM.choice(candidates).address, "load"),
            "round_robin": self._by_turn,
        }
        self.choose = policies[settings.policy]
        """Returns who of one or more candidates answers a request with an affinity."""

    def _by_turn(self, candidates: Sequence[Candidate], affinity: Affinity) -> Choice:
        return Choice(candidates[next(self._turns) % len(candidates)].address, "load")

    def _by_score(self, candidates: Sequence[Candidate], affinity: Affinity) -> Choice:
        scale = self._load_weight / _full_measure(candidates)
        favour = {address: (share, "prefix") for address, share in self._prefixes.shares(affinity.blocks).items()}
        if affinity.key:
            favour[rendezvous(candidates, affinity.key)] = (1.0, "key")
        favoured = [(favour[one.address][0], one) for one in candidates if one.address in favour]
        most = max((share for share, _ in favoured), default=0.0)
        best = max(
            (*two_of([one for share, one in favoured if share == most]), *two_of(candidates)),
            key=lambda one: favour.get(one.address, (0.0,))[0] - scale * one.load,
        )
        self._prefixes.note(affinity.blocks, best.address)
        return Choice(best.address, favour[best.address][1] if best.address in favour else "load")


def _full_measure(candidates: Sequence[Candidate]) -> float:
    """Returns the mean load with one more request on each: never 0."""
    return sum(one.requests + 1 for one in candidates) / sum(one.capacity for one in candidates)


def two_of(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Returns two at random, or all there are, in random order; the more capacity, the more often."""
    if len(candidates) <= 2:
        return RANDOM.sample(candidates, len(candidates))
    first = RANDOM.choices(candidates, [one.capacity for one in candidates])[0]
    others = [one for one in candidates if one is not first]
    return first, *RANDOM.choices(others, [one.capacity for one in others])


def rendezvous(candidates: Sequence[Candidate], key: str) -> str:
    """Returns the address that a key points to: every edge finds the same, and a replica that goes moves only its own.

    Weighted rendezvous hashing: each candidate draws a number from the key, and the largest of capacity / -log wins.
    """

    def draw(one: Candidate) -> float:
        digest = blake2b(f"{key}\n{one.address}".encode(), digest_size=8).digest()
        return one.capacity / -log((int.from_bytes(digest) + 1) / (2**64 + 2))

    return max(candidates, key=draw).address
