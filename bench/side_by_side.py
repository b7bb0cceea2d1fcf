"""The same requests by all ways of `systems.py`: tokens per second, latencies, CPU and memory, side by side in one run.

Every system has its servers running; those that are not asked are idle. In each round every system gets every load, in
an order that is turned round from round to round; the figures are medians over the rounds. Run it as
`python -m bench.side_by_side`; it writes `side_by_side.json` and `side_by_side.svg` into `build/bench`.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from bench import systems
from bench.accounts import Account
from bench.environments import ROOT
from bench.load import Load, percentile, send
from bench.plot import bars
from bench.report import as_table, ratios

OUT = ROOT / "build" / "bench"
#: Name -> at the same time, in all, streamed.
LOADS = {
    "1 stream": (1, 2, True),
    "8 streams": (8, 16, True),
    "32 streams": (32, 64, True),
    "64 whole": (64, 64, False),
}
#: Engine -> what is started of the systems that are compared.
STARTS: Mapping[str, Sequence[systems.Start]] = {
    "vllm": [partial(systems.ours, engine="vllm"), systems.vllm_and_litellm, systems.smg_and_vllm],
    "sglang": [partial(systems.ours, engine="sglang"), systems.sglang_server],
    "fake": [partial(systems.ours, engine="fake")],
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one system made of one load. Times in ms, CPU in microseconds per token, memory in MB."""

    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    itl_p50_ms: float
    itl_p99_ms: float
    whole_p50_ms: float
    gateway_us_per_token: float
    all_us_per_token: float
    gateway_mb: float
    all_mb: float


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--engine", choices=STARTS, default="vllm", help="fake: ours alone, to try it out")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        found = [one for start in STARTS[options.engine] for one in running.enter_context(start(Path(scratch)))]
        for system in found:
            _measure(system, 8, 8, options.tokens, stream=True)  # warm
        taken = _rounds(found, options.loads, options.rounds, options.tokens)
    _publish(taken, options.out, options.rounds)


def _rounds(
    found: Sequence[systems.System], loads: Iterable[str], rounds: int, tokens: int
) -> dict[str, dict[str, list[Figures]]]:
    """Returns load -> system -> what it showed in each round."""
    taken: dict[str, dict[str, list[Figures]]] = {load: {system.name: [] for system in found} for load in loads}
    for number in range(rounds):
        for load, by_system in taken.items():
            concurrent, requests, stream = LOADS[load]
            turn = number % len(found)
            for system in (*found[turn:], *found[:turn]):
                figures = _measure(system, concurrent, requests, tokens, stream=stream)
                by_system[system.name].append(figures)
                print(f"round {number + 1}, {load}, {system.name}: {figures.tokens_per_s:.0f} tokens/s", flush=True)
    return taken


def _measure(system: systems.System, concurrent: int, requests: int, tokens: int, *, stream: bool) -> Figures:
    account = Account(system.parties)
    load = Load(system.address, systems.MODEL, concurrent, requests, tokens, stream, client=system.client)
    seen = send(load, account.counting)
    first_s = seen.first_s if stream else seen.whole_s
    return Figures(
        tokens_per_s=seen.tokens / seen.wall_s,
        ttft_p50_ms=percentile(first_s, 0.5) * 1e3,
        ttft_p99_ms=percentile(first_s, 0.99) * 1e3,
        itl_p50_ms=percentile(seen.gap_s, 0.5) * 1e3,
        itl_p99_ms=percentile(seen.gap_s, 0.99) * 1e3,
        whole_p50_ms=percentile(seen.whole_s, 0.5) * 1e3,
        gateway_us_per_token=account.cpu_s.get("gateway", 0.0) / seen.tokens * 1e6,
        all_us_per_token=sum(account.cpu_s.values()) / seen.tokens * 1e6,
        gateway_mb=account.peak_bytes.get("gateway", 0) / 1e6,
        all_mb=sum(account.peak_bytes.values()) / 1e6,
    )


def _publish(taken: dict[str, dict[str, list[Figures]]], out: Path, rounds: int) -> None:
    medians = {
        load: {system: _median(figures) for system, figures in by_system.items()} for load, by_system in taken.items()
    }
    for load, by_system in medians.items():
        print(f"\n{load}, median of {rounds}\n{as_table(by_system)}\n{ratios(by_system)}")
    out.mkdir(parents=True, exist_ok=True)
    document = {"at": datetime.now(UTC).isoformat(), "rounds": rounds, "medians": medians}
    document["all"] = {
        load: {system: [asdict(one) for one in figures] for system, figures in by_system.items()}
        for load, by_system in taken.items()
    }
    (out / "side_by_side.json").write_text(json.dumps(document, indent=1))
    rates = {load: {name: one["tokens_per_s"] for name, one in found.items()} for load, found in medians.items()}
    (out / "side_by_side.svg").write_text(bars(rates, "tokens per second"))
    print(f"\nwritten: {out}/side_by_side.json and .svg")


def _median(figures: Sequence[Figures]) -> dict[str, float]:
    return {name: median(getattr(one, name) for one in figures) for name in Figures.__slots__}


if __name__ == "__main__":
    main()
