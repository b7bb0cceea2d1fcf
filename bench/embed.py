"""Texts per second of the embed service through the edge, beside the library called offline, and infinity's server.

32 clients send one text each, and the next when they have its vector; the library gets the same texts at once, in
batches of 32. Each has one thread for the model. In each round every way gets every load, in an order that is turned
round; figures are medians. Run it as `python -m bench.embed`; it writes `embed.json` into `build/bench`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.accounts import Account, yardstick_ns
from bench.embed_texts import texts
from bench.environments import ROOT, environment
from bench.load import Load, percentile, send
from bench.report import as_table
from bench.servers import answers, free_address, our_process, server

MODEL = "demo-embed"
WEIGHTS = ROOT / "models" / "demo" / "composed" / "embed"
CLIENTS = 32
OFFLINE = "library, offline"
ENV = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
LOADS = {"short": False, "mixed lengths": True}
COLUMNS = ("texts_per_s", "p50_ms", "p99_ms", "edge_us_per_text", "model_us_per_text")

Figures = dict[str, float]
Way = Callable[[int, bool], Figures]


@contextmanager
def library() -> Iterator[Way]:
    """sentence-transformers in this process."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(WEIGHTS), device="cpu")

    def run(count: int, mixed: bool) -> Figures:
        given = texts(count, mixed=mixed)
        begin, busy_s = time.perf_counter(), time.process_time()
        model.encode(given, batch_size=CLIENTS)
        wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - busy_s
        return {"texts_per_s": count / wall_s, "model_us_per_text": cpu_s / count * 1e6}

    yield run


@contextmanager
def edge_and_service(folder: Path) -> Iterator[Way]:
    """Our edge in front of our service."""
    service = {"replica": "bench-0", "models": {MODEL: {"engine": "sentence_transformers", "model": str(WEIGHTS)}}}
    with our_process("gpt_server.services.embed", service, folder, env=ENV) as (below, ports):
        edge = {"port": 0, "discovery": {"addresses": [ports["grpc"]]}}
        with our_process("gpt_server.edge", edge, folder) as (above, announced):
            yield _served(announced["http"], "/v1/embeddings", Account({"edge": above, "model": below}))


@contextmanager
def infinity(folder: Path) -> Iterator[Way]:
    """infinity's own server, with the options that our engine gives it."""
    address = free_address()
    host, _, port = address.rpartition(":")
    command: list[str | Path] = [environment("bench-infinity", "embed-infinity.lock") / "infinity_emb", "v2"]
    command += ["--model-id", WEIGHTS, "--served-model-name", MODEL, "--host", host, "--port", port, "--device", "cpu"]
    command += ["--no-bettertransformer", "--batch-size", str(CLIENTS), "--no-compile", "--no-model-warmup"]
    with server("infinity", command, folder, answers(address, "/health"), ENV) as process:
        yield _served(address, "/embeddings", Account({"model": process}))


def _served(address: str, path: str, account: Account) -> Way:
    def run(count: int, mixed: bool) -> Figures:
        extra = {"mixed": mixed, "path": path}
        load = Load(address, MODEL, CLIENTS, count, 1, False, extra, "bench.embed_client")
        seen = send(load, account.counting)
        return {
            "texts_per_s": count / seen.wall_s,
            "p50_ms": percentile(seen.whole_s, 0.5) * 1e3,
            "p99_ms": percentile(seen.whole_s, 0.99) * 1e3,
            "edge_us_per_text": account.cpu_s.get("edge", 0.0) / count * 1e6,
            "model_us_per_text": account.cpu_s["model"] / count * 1e6,
        }

    return run


def measured(ways: Mapping[str, Way], rounds: int, count: int) -> dict[str, dict[str, Figures]]:
    """Returns the medians, by load and way."""
    seen: dict[str, dict[str, list[Figures]]] = {load: {way: [] for way in ways} for load in LOADS}
    for way in ways.values():
        for mixed in LOADS.values():
            way(CLIENTS * 2, mixed)  # warm
    for turn in range(rounds):
        for load, mixed in LOADS.items():
            for name in sorted(ways, reverse=bool(turn % 2)):
                figures = ways[name](count, mixed)
                print(f"round {turn + 1}, {load}, {name}: {figures['texts_per_s']:.0f} texts/s", file=sys.stderr)
                seen[load][name].append(figures)
    return {
        load: {
            name: {key: median(one.get(key, 0.0) for one in figures) for key in COLUMNS}
            for name, figures in by_way.items()
        }
        for load, by_way in seen.items()
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=256, help="of each load")
    parser.add_argument("--without-infinity", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    options = parser.parse_args()
    if not WEIGHTS.is_dir():
        subprocess.run([sys.executable, ROOT / "models" / "demo" / "compose.py"], check=True)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        ways = {
            OFFLINE: stack.enter_context(library()),
            "edge + service": stack.enter_context(edge_and_service(folder)),
        }
        if not options.without_infinity:
            ways["infinity's server"] = stack.enter_context(infinity(folder))
        medians = measured(ways, options.rounds, options.texts)
    for load, by_way in medians.items():
        print(f"{load}\n{as_table(by_way)}")
        base = by_way[OFFLINE]["texts_per_s"]
        for name, figures in by_way.items():
            print(f"{name}: {figures['texts_per_s'] / base:.2f} x the texts/s of the library offline")
    options.out.mkdir(parents=True, exist_ok=True)
    document = {"medians": medians, "loop_ns": yardstick_ns()}
    (options.out / "embed.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
