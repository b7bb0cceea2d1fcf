"""What the way to an image costs: the bare pipeline, the service over gRPC, edge and service over HTTP, in one run.

All have the same weights (`demo-image`), steps and threads. The first step's event says how soon a caller sees
progress; four callers at once against one after another say what sharing the device costs. Run it as
`python -m bench.image`.
"""

import argparse
import asyncio
import io
import math
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from bench.report import as_table
from bench.servers import our_process
from gpt_server.image.v1 import image_service_pb2 as pb
from gpt_server.image.v1.image_service_pb2_grpc import ImageServiceStub

MODEL = "demo-image"
FOLDER = Path(__file__).parents[1] / "models" / "demo" / "image"
PROMPT, SIDE_PX, STEPS, CALLERS = "a red circle on a blue background", 128, 12, 4
DEFAULTS = {"width": SIDE_PX, "height": SIDE_PX, "num_inference_steps": STEPS, "max_sequence_length": 4}


def bare(rounds: int) -> float:
    """Returns the median seconds of an image by the pipeline itself, its PNG file included."""
    import torch
    from diffusers import FluxPipeline

    pipeline: Any = FluxPipeline.from_pretrained(FOLDER, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    taken = []
    for seed in range(rounds + 1):
        began_s = time.perf_counter()
        picture = pipeline(PROMPT, generator=torch.Generator().manual_seed(seed), **DEFAULTS).images[0]
        picture.save(io.BytesIO(), "PNG")
        taken.append(time.perf_counter() - began_s)
    return statistics.median(taken[1:])


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, str]]:
    """Runs edge and service, and yields their addresses: gRPC's and HTTP's."""
    model = {"engine": "diffusers", "model": str(FOLDER), "engine_args": {"defaults": DEFAULTS}}
    with our_process("gpt_server.services.image", {"replica": "bench-0", "models": {MODEL: model}}, folder) as (_, own):
        edge = {"port": 0, "discovery": {"addresses": [own["grpc"]]}}
        with our_process("gpt_server.edge", edge, folder) as (_, ports):
            yield own["grpc"], ports["http"]


def _row(whole_s: float, first_s: float = math.nan) -> dict[str, float]:
    return {"whole_ms": 1000 * whole_s, "first_progress_ms": 1000 * first_s}


async def _times(ask: Callable[[int], Awaitable[float]], rounds: int) -> tuple[float, float]:
    """Returns the median seconds of an answer and of its first event of progress."""
    await ask(0)
    first, whole = [], []
    for seed in range(rounds):
        began_s = time.perf_counter()
        first.append(await ask(seed) - began_s)
        whole.append(time.perf_counter() - began_s)
    return statistics.median(whole), statistics.median(first)


async def measured(service: str, edge: str, rounds: int) -> dict[str, dict[str, float]]:
    """Returns a row for each way, and those of four callers."""
    async with grpc.aio.insecure_channel(service) as channel, aiohttp.ClientSession(f"http://{edge}") as http:
        stub: Any = ImageServiceStub(channel)

        async def by_grpc(seed: int) -> float:
            first_s = 0.0
            request = pb.GenerateRequest(model=MODEL, prompt=PROMPT, options=pb.Options(seed=seed))
            async for message in stub.Generate(request):
                if message.HasField("progress"):
                    first_s = first_s or time.perf_counter()
            return first_s

        async def by_http(seed: int) -> float:
            first_s = 0.0
            body = {"model": MODEL, "prompt": PROMPT, "seed": seed, "stream": True}
            async with http.post("/v1/images/generations", json=body) as answer:
                async for line in answer.content:
                    if line.startswith(b": step"):
                        first_s = first_s or time.perf_counter()
            return first_s

        rows = {}
        for name, ask in (("service, gRPC", by_grpc), ("edge and service, HTTP", by_http)):
            whole_s, first_s = await _times(ask, rounds)
            rows[name] = _row(whole_s, first_s)
        began_s = time.perf_counter()
        for seed in range(CALLERS):
            await by_http(seed)
        after_s = time.perf_counter()
        await asyncio.gather(*map(by_http, range(CALLERS)))
        ended_s = time.perf_counter()
        rows[f"{CALLERS} images, one after the other"] = _row(after_s - began_s)
        rows[f"{CALLERS} images, {CALLERS} callers at once"] = _row(ended_s - after_s)
        return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Measures the way to an image.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    rows = {"the pipeline alone": _row(bare(rounds))}
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as addresses:
        rows |= asyncio.run(measured(*addresses, rounds))
    print(as_table(rows))


if __name__ == "__main__":
    main()
