"""What the way through edge and service costs speech and transcription, beside the engines called directly.

The engines are those of the demo: eSpeak NG speaks, PocketSphinx listens to it. Run it as `python -m bench.audio`.
"""

import argparse
import asyncio
import tempfile
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soxr

from bench.accounts import Account, yardstick_ns
from bench.load import percentile
from bench.report import as_table
from bench.servers import our_process
from gpt_server.services.audio.engine import EngineConfig, Samples, SpeechRequest, TranscriptionConfig
from gpt_server.services.audio.engines.espeak import EspeakEngine
from gpt_server.services.audio.engines.pocketsphinx import PocketsphinxEngine

TEXT = "The weather is very nice today. Please call me back tomorrow morning. She sells seashells by the seashore. "
RATE_HZ = 16_000
PARALLEL = 8
MODELS: dict[str, Any] = {
    "ear": {"engine": "pocketsphinx", "model": "en-us", "engine_args": {"processes": 2}},
    "voice": {"engine": "espeak", "model": "espeak-ng", "engine_args": {"processes": 2}},
}
Row = dict[str, float]
Timed = Callable[[], Awaitable[tuple[float, float]]]
"""Asks once; returns when the first output came and when the last, in seconds from asking."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where the edge and the service's admin port are, and who is to be measured."""

    url: str
    admin: str
    account: Account


@contextmanager
def edge_over_audio(folder: Path) -> Iterator[Setup]:
    """Runs an edge in front of one service with both models."""
    with our_process("gpt_server.services.audio", {"replica": "bench-0", "models": MODELS}, folder) as (below, ports):
        edge = {"port": 0, "discovery": {"addresses": [ports["grpc"]]}}
        with our_process("gpt_server.edge", edge, folder) as (above, announced):
            yield Setup(
                f"http://{announced['http']}", f"http://{ports['admin']}", Account({"edge": above, "service": below})
            )


def main() -> None:
    """Prints four tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=1, help="times that the text is said in one request")
    parser.add_argument("--long-s", type=float, default=7200, help="length of the long file")
    options = parser.parse_args()
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    text = TEXT * options.sentences
    mouth, ear = (_engine(kind, key) for kind, key in ((EspeakEngine, "voice"), (PocketsphinxEngine, "ear")))
    await asyncio.gather(mouth.start(), ear.start())
    speech = np.concatenate([samples async for samples in _speak(mouth, text)])
    sound = soxr.resample(speech, 22_050, RATE_HZ)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        _write(file, [sound])
        spoken = {"engine": await _row(lambda: _timed(_speak(mouth, text)), 1, len(speech) / 22_050, options.rounds)}
        heard = {"engine": await _row(lambda: _timed(_hear(ear, sound)), 1, len(sound) / RATE_HZ, options.rounds)}
        await asyncio.gather(mouth.close(), ear.close())
        with edge_over_audio(Path(folder)) as setup:
            async with aiohttp.ClientSession(setup.url, timeout=aiohttp.ClientTimeout(None)) as http:
                for count in (1, PARALLEL):
                    name = f"edge, {count} at a time"
                    spoken[name] = await _row(
                        lambda: _timed(_post_text(http, text)), count, len(speech) / 22_050, options.rounds
                    )
                    heard[name] = await _row(
                        lambda: _timed(_post_file(http, file)), count, len(sound) / RATE_HZ, options.rounds
                    )
                print("Speech (MP3)\n" + as_table(spoken) + "\n\nTranscription\n" + as_table(heard), flush=True)
                left = {
                    "speech": await _left(setup, "voice", lambda: _post_text(http, text * 100), options.rounds),
                    "transcription": await _left(setup, "ear", lambda: _post_file(http, file), options.rounds),
                }
                print("\nA caller leaves\n" + as_table(left), flush=True)
                long = await _long(setup, http, Path(folder), sound, options.long_s)
    print("\nLong file\n" + as_table({f"{options.long_s:.0f} s": long}))


def _engine(kind: Any, key: str) -> Any:
    return kind(EngineConfig(MODELS[key]["model"], engine_args=MODELS[key]["engine_args"]))


async def _row(ask: Timed, count: int, sound_s: float, rounds: int) -> Row:
    """Asks `count` at a time, so many rounds."""
    await ask()  # warm
    firsts, lasts, begin = [], [], time.perf_counter()
    for _ in range(rounds):
        for first_s, last_s in await asyncio.gather(*[ask() for _ in range(count)]):
            firsts.append(first_s)
            lasts.append(last_s)
    wall_s = time.perf_counter() - begin
    return {
        "first_p50_ms": percentile(firsts, 0.5) * 1e3,
        "whole_p50_ms": percentile(lasts, 0.5) * 1e3,
        "whole_p99_ms": percentile(lasts, 0.99) * 1e3,
        "sound_s_per_s": sound_s * count * rounds / wall_s,
        "loop_ns": yardstick_ns(),
    }


async def _left(setup: Setup, model: str, ask: Callable[[], AsyncIterator[Any]], rounds: int) -> Row:
    """Leaves in the middle of an answer; returns how long the service then holds the slot, to a few milliseconds."""
    taken = []
    async with aiohttp.ClientSession(setup.admin) as admin:
        for _ in range(rounds):
            asking = asyncio.create_task(_timed(ask()))
            while not await _running(admin, model):  # noqa: ASYNC110 (another process holds it)
                await asyncio.sleep(0.01)
            asking.cancel()
            begin = time.perf_counter()
            while await _running(admin, model):  # noqa: ASYNC110
                await asyncio.sleep(0)
            taken.append(time.perf_counter() - begin)
    return {"slot_free_p50_ms": percentile(taken, 0.5) * 1e3, "slot_free_most_ms": max(taken) * 1e3}


async def _running(admin: aiohttp.ClientSession, model: str) -> float:
    async with admin.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    wanted = [line for line in lines if line.startswith("gpt_server_running_requests{") and f'"{model}"' in line]
    return sum(float(line.split()[-1]) for line in wanted)


async def _timed(outputs: AsyncIterator[Any]) -> tuple[float, float]:
    begin, first_s = time.perf_counter(), 0.0
    async for _ in outputs:
        first_s = first_s or time.perf_counter() - begin
    return first_s, time.perf_counter() - begin


async def _speak(engine: EspeakEngine, text: str) -> AsyncIterator[Samples]:
    prepared = await engine.prepare_speech(SpeechRequest("m", text))
    async with aclosing(engine.synthesize(prepared)) as outputs:
        async for output in outputs:
            yield output.samples


async def _hear(engine: PocketsphinxEngine, sound: Samples) -> AsyncIterator[Any]:
    async def whole() -> AsyncIterator[Samples]:
        yield sound

    prepared = await engine.prepare_transcription(TranscriptionConfig("m"))
    async with aclosing(engine.transcribe(prepared, whole())) as outputs:
        async for output in outputs:
            yield output


async def _post_text(http: aiohttp.ClientSession, text: str) -> AsyncIterator[bytes]:
    async with http.post("/v1/audio/speech", json={"model": "voice", "input": text}) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_any():
            yield piece


async def _post_file(http: aiohttp.ClientSession, file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as content:
        form = {"model": "ear", "stream": "true", "file": content}
        async with http.post("/v1/audio/transcriptions", data=form) as answer:
            answer.raise_for_status()
            async for piece in answer.content.iter_any():
                yield piece


async def _long(setup: Setup, http: aiohttp.ClientSession, folder: Path, sound: Samples, long_s: float) -> Row:
    """Sends a file that is mostly silence, with speech at its end."""
    file = folder / "long.wav"
    second = np.zeros(RATE_HZ, dtype=np.float32)
    _write(file, [second] * round(long_s) + [sound])
    with setup.account.counting():
        _, last_s = await _timed(_post_file(http, file))
    account = setup.account
    return {
        "file_mb": file.stat().st_size / 1e6,
        "whole_s": last_s,
        "sound_s_per_s": long_s / last_s,
        "edge_mb_before": account.idle_bytes["edge"] / 1e6,
        "edge_mb_peak": account.peak_bytes["edge"] / 1e6,
        "service_mb_before": account.idle_bytes["service"] / 1e6,
        "service_mb_peak": account.peak_bytes["service"] / 1e6,
        "edge_cpu_s": account.cpu_s["edge"],
        "service_cpu_s": account.cpu_s["service"],
    }


def _write(file: Path, pieces: list[Samples]) -> None:
    with wave.open(str(file), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE_HZ)
        for piece in pieces:
            written.writeframes((piece * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    main()
