"""Measures the demo's ear with the library that serves it, on sentences that training never saw.

python -m models.demo.make_listener.evaluate
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from models.demo.make_listener import sentences, voices

FOLDER = Path(__file__).parents[1] / "listener"


def load(folder: Path = FOLDER) -> Any:
    """Returns the model, as `funasr.AutoModel` loads it."""
    from funasr import AutoModel

    threads = torch.get_num_threads()
    quiet = {"disable_update": True, "disable_pbar": True, "log_level": "ERROR"}
    return AutoModel(model=str(folder), device="cpu", ncpu=threads, **quiet)


def hear(model: Any, samples: voices.Samples, use_itn: bool = False) -> str:
    """Returns what it writes down, tags included."""
    found = model.generate(input=[torch.from_numpy(samples)], cache={}, language="auto", use_itn=use_itn)
    return str(found[0]["text"])


def mistakes(right: str, heard: str) -> int:
    """Returns the least number of words that were put in, left out or exchanged."""
    expected, said = right.split(), heard.split()
    row = list(range(len(said) + 1))
    for i, word in enumerate(expected, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(said, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def error_rate(
    model: Any, count: int, speakers: Sequence[str], seed: int = 99, is_written: bool = False
) -> tuple[float, float, list[tuple[str, str]]]:
    """Returns the share of wrong words, seconds of work per second of speech, and the sentences with mistakes."""
    source, espeak = Random(seed), voices.Espeak()
    wrong = total = 0
    spoken_s = work_s = 0.0
    missed = []
    for _ in range(count):
        text = sentences.draw(source, held_out=True)
        samples = voices.utterance(espeak, text, source, speakers)
        right = sentences.written(text) if is_written else text
        start = time.perf_counter()
        heard = hear(model, samples, is_written).rpartition("|>")[2].strip()
        work_s += time.perf_counter() - start
        spoken_s += len(samples) / voices.SAMPLE_RATE_HZ
        wrong += mistakes(right, heard)
        total += len(right.split())
        if heard != right:
            missed.append((right, heard))
    return wrong / total, work_s / spoken_s, missed


def main() -> None:
    """Prints everything that the README says."""
    parser = argparse.ArgumentParser(description="Measures the demo's ear.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--errors", type=int, default=0, help="how many mistakes to print")
    flags = parser.parse_args()
    model = load(flags.folder)
    for name, speakers in (("voices of training", voices.VOICES), ("other voices", voices.UNHEARD)):
        for is_written in (False, True):
            rate, factor, missed = error_rate(model, flags.count, speakers, is_written=is_written)
            style = "written" if is_written else "spoken"
            print(f"{name}, as {style}: word error rate {rate:.1%}, {len(missed)} of {flags.count}, RTF {factor:.4f}")
            for right, heard in missed[: flags.errors]:
                print(f"  {right} | {heard}")


if __name__ == "__main__":
    main()
