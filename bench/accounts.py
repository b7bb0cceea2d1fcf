"""What processes used: CPU by their own clocks, and memory."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_S = 0.1
YARDSTICK_TURNS = 500_000


@dataclass(slots=True)
class Account:
    """What each party, a process and its children, used while `counting`.

    Attributes:
        roots: party -> process.
        cpu_s: CPU time, by party; of the last `counting`.
        idle_bytes: resident memory when the counting began, by party.
        peak_bytes: the most seen since, by party.
    """

    roots: Mapping[str, psutil.Process]
    cpu_s: dict[str, float] = field(default_factory=dict)
    idle_bytes: dict[str, int] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts while the context is open."""
        families = {party: _family(root) for party, root in self.roots.items()}
        self.idle_bytes = {party: _resident(family) for party, family in families.items()}
        self.peak_bytes = dict(self.idle_bytes)
        before = {party: _cpu_s(family) for party, family in families.items()}
        ended = threading.Event()
        sampling = threading.Thread(target=self._sample, args=(families, ended))
        sampling.start()
        try:
            yield
        finally:
            self.cpu_s = {party: _cpu_s(family) - before[party] for party, family in families.items()}
            ended.set()
            sampling.join()

    def _sample(self, families: Mapping[str, list[psutil.Process]], ended: threading.Event) -> None:
        while not ended.wait(SAMPLE_S):
            for party, family in families.items():
                self.peak_bytes[party] = max(self.peak_bytes[party], _resident(family))


def yardstick_ns() -> float:
    """Returns what a turn of a loop in Python costs now, in ns of CPU; on a shared machine that changes."""
    begin = time.process_time()
    sum(turn * turn for turn in range(YARDSTICK_TURNS))
    return (time.process_time() - begin) / YARDSTICK_TURNS * 1e9


def _family(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu_s(family: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in family)


def _resident(family: list[psutil.Process]) -> int:
    return sum(int(one.memory_info().rss) for one in family)
