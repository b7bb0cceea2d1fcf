"""What every load client does: it opens, waits to be told, asks with as many askers as wished, and says what it saw."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Protocol, TypeVar

import uvloop

from bench.load import Load, Seen

LIMIT_S = 300.0  # only so that a failure ends

RequestT = TypeVar("RequestT")


class Answer(Protocol):
    """One answer. Times are those of `time.perf_counter`."""

    began_s: float
    texts_s: list[float]
    ended_s: float

    @property
    def tokens(self) -> int:
        """What its end says that it has. Raises `RuntimeError`: it is no answer."""

    @property
    def writes(self) -> int:
        """Pieces that it came in."""


async def ask_all(
    load: Load, askers: Sequence[Callable[[RequestT], Awaitable[Answer]]], requests: Sequence[RequestT]
) -> Seen:
    """Says that all is open, waits for a line, and sends the requests; each asker the next when it has its answer.

    Raises:
        RuntimeError: an answer has another number of tokens than `load` says.
    """
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    waiting, answers = iter(requests), list[Answer]()
    begin = time.perf_counter()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(_ask_in_turn(asker, waiting, answers) for asker in askers))
    wall_s = time.perf_counter() - begin
    if wrong := [answer.tokens for answer in answers if answer.tokens != load.tokens]:
        raise RuntimeError(f"{wrong[0]} tokens instead of {load.tokens}")
    return Seen(
        wall_s=wall_s,
        tokens=sum(answer.tokens for answer in answers),
        first_s=[answer.texts_s[0] - answer.began_s for answer in answers if answer.texts_s],
        gap_s=[b - a for answer in answers for a, b in zip(answer.texts_s, answer.texts_s[1:], strict=False)],
        whole_s=[answer.ended_s - answer.began_s for answer in answers],
        writes=sum(answer.writes for answer in answers),
    )


def main(run: Callable[[Load], Awaitable[Seen]]) -> None:
    """Runs a client for the load on its command line."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(_run(run, Load(**json.loads(sys.argv[1])))))), flush=True)


async def _run(run: Callable[[Load], Awaitable[Seen]], load: Load) -> Seen:
    return await run(load)


async def _ask_in_turn(
    asker: Callable[[RequestT], Awaitable[Answer]], waiting: Iterator[RequestT], answers: list[Answer]
) -> None:
    for request in waiting:
        answers.append(await asker(request))
