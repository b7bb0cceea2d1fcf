"""The benchmarks run: in their smallest form, so that they do not rot. What they measure is for people to read."""

import json
import subprocess
import sys
from pathlib import Path

from bench.plot import bars

ROOT = Path(__file__).parents[2]
LIMIT_S = 600


def output_of(module: str, *options: str) -> str:
    command = [sys.executable, "-m", module, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edge_alone() -> None:
    printed = output_of("bench.edge_alone", "--streams", "2", "--tokens", "5", "--requests", "64")
    head, streams, whole_head, whole = printed.splitlines()
    assert streams.startswith("2 streams")
    assert whole.startswith("64 whole")
    assert "edge_us_per_token" in head
    assert "edge_us_per_request" in whole_head


def test_audio() -> None:
    printed = output_of("bench.audio", "--rounds", "1", "--sentences", "1", "--long-s", "2")
    assert [printed.count(name) for name in ("engine ", "edge, 8 at a time", "2 s")] == [2, 2, 1]
    assert "edge_mb_peak" in printed


def test_side_by_side(tmp_path: Path) -> None:
    options = ["--engine", "fake", "--rounds", "1", "--tokens", "4", "--out", str(tmp_path)]
    printed = output_of("bench.side_by_side", *options, "--loads", "1 stream", "64 whole")
    document = json.loads((tmp_path / "side_by_side.json").read_text())
    assert list(document["medians"]) == ["1 stream", "64 whole"]
    for by_system in document["medians"].values():
        assert list(by_system) == ["edge + service", "service, gRPC"]
        assert all(figures["tokens_per_s"] > 0 for figures in by_system.values())
    assert "service, gRPC" in printed
    assert (tmp_path / "side_by_side.svg").read_text().startswith("<svg")


def test_routing() -> None:
    options = ["--engine", "fake", "--replicas", "2", "--documents", "2", "--document-words", "600", "--requests", "6"]
    printed = output_of("bench.routing", *options, "--rounds", "1", "--uniform", "96")
    assert "x the tokens/s of round robin" in printed
    assert "max/min of the means" in printed


def test_embed(tmp_path: Path) -> None:
    options = ["--rounds", "1", "--texts", "64", "--without-infinity", "--out", str(tmp_path)]
    printed = output_of("bench.embed", *options)
    document = json.loads((tmp_path / "embed.json").read_text())
    assert list(document["medians"]) == ["short", "mixed lengths"]
    for by_way in document["medians"].values():
        assert list(by_way) == ["library, offline", "edge + service"]
        assert all(figures["texts_per_s"] > 0 for figures in by_way.values())
    assert printed.count("x the texts/s of the library offline") == 4


def test_a_chart_has_a_bar_for_each_value() -> None:
    chart = bars({"1 stream": {"a": 10.0, "b": 20.0}, "8 <streams>": {"b": 5.0}}, "x & y")
    assert chart.count("<rect") == 3 + 2  # bars, legend
    assert "8 &lt;streams&gt;" in chart
    assert "x &amp; y" in chart
