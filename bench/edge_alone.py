"""What the edge costs: its CPU per streamed token and per whole answer, its memory per open stream.

A real edge stands before a service whose engine computes nothing (`fake`): a step of each stream comes by the clock,
and steps that the service could not send yet go out in one message, as with real engines. Run it as
`python -m bench.edge_alone`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.accounts import Account, yardstick_ns
from bench.load import Load, Seen, percentile, send
from bench.report import as_table
from bench.servers import our_process

MODEL = "fake-chat"
LIMITS = {"max_running": 4096, "max_queued": 4096}
#: Streams -> seconds per step. From 32 streams on more is asked for than two cores can carry: that is saturation.
PACES = {1: 0.002, 32: 0.0005, 256: 0.004, 1000: 0.05}


@dataclass(frozen=True, slots=True)
class Setup:
    """Where the edge is, and who is to be measured."""

    address: str
    account: Account


@contextmanager
def edge_over_fake(folder: Path) -> Iterator[Setup]:
    """Runs an edge in front of one fake service."""
    model = {"engine": "fake", "model": "none", "limits": LIMITS, "engine_args": {"max_context_tokens": 1_000_000}}
    service = {"replica": "bench-0", "models": {MODEL: model}}
    with our_process("gpt_server.services.llm", service, folder) as (below, ports):
        edge = {"port": 0, "discovery": {"addresses": [ports["grpc"]]}}
        with our_process("gpt_server.edge", edge, folder) as (above, announced):
            yield Setup(announced["http"], Account({"edge": above, "service": below}))


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=list(PACES))
    parser.add_argument("--tokens", type=int, default=400, help="of each streamed answer")
    parser.add_argument("--requests", type=int, default=2000, help="whole answers, 64 at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, edge_over_fake(Path(folder)) as setup:
        _send(setup, 8, 8, tokens=20, stream=True, token_s=0.0)  # warm
        streams = {f"{n} streams": _streams(setup, n, options.tokens) for n in options.streams}
        print(as_table(streams))
        print(as_table({"64 whole": _whole(setup, options.requests)}))


def _streams(setup: Setup, streams: int, tokens: int) -> dict[str, float]:
    pace_s = PACES.get(streams, 0.01)
    seen = _send(setup, streams, streams, tokens=tokens, stream=True, token_s=pace_s)
    account = setup.account
    return {
        "pace_ms": pace_s * 1e3,
        "tokens_per_s": seen.tokens / seen.wall_s,
        "tokens_per_write": seen.tokens / seen.writes,
        "edge_us_per_token": account.cpu_s["edge"] / seen.tokens * 1e6,
        "edge_us_per_write": account.cpu_s["edge"] / seen.writes * 1e6,
        "service_us_per_token": account.cpu_s["service"] / seen.tokens * 1e6,
        "edge_busy_percent": account.cpu_s["edge"] / seen.wall_s * 100,
        "edge_kb_per_stream": (account.peak_bytes["edge"] - account.idle_bytes["edge"]) / streams / 1000,
        "loop_ns": yardstick_ns(),
    }


def _whole(setup: Setup, requests: int) -> dict[str, float]:
    seen = _send(setup, 64, requests, tokens=1, stream=False, token_s=0.0)
    return {
        "requests_per_s": requests / seen.wall_s,
        "edge_us_per_request": setup.account.cpu_s["edge"] / requests * 1e6,
        "service_us_per_request": setup.account.cpu_s["service"] / requests * 1e6,
        "p50_ms": percentile(seen.whole_s, 0.5) * 1e3,
        "p99_ms": percentile(seen.whole_s, 0.99) * 1e3,
        "loop_ns": yardstick_ns(),
    }


def _send(setup: Setup, concurrent: int, requests: int, *, tokens: int, stream: bool, token_s: float) -> Seen:
    script = {"chat_template_kwargs": {"fake": {"tokens": tokens, "token_s": token_s}}}
    load = Load(setup.address, MODEL, concurrent, requests, tokens, stream, script)
    return send(load, setup.account.counting)


if __name__ == "__main__":
    main()
