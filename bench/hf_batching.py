"""Tokens per second of the hf engine beside transformers' own continuous batching and one `generate` after the other.

All three run the same weights with the same prompts, greedily, in this process, one after the other; each shows the
best of some rounds. What counts is the ratio between them. Run it as `python -m bench.hf_batching [MODEL]`.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.utils import logging

from gpt_server.services.llm.engine import EngineConfig, GenerateRequest, Sampling
from gpt_server.services.llm.engines.hf import HFEngine

TOKENS = 64
PROMPT_TOKENS = 48

Prompts = Sequence[Sequence[int]]
Way = Callable[[Prompts], object]


def main() -> None:
    """Prints one line per number of streams."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="models/demo/chat", help="folder or hub id")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.set_verbosity_error()
    print("streams   sequential   continuous         ours   ours/sequential   ours/continuous   (tokens/s)")
    for streams in options.streams:
        ways = (_sequential(options.model), _continuous(options.model), _ours(options.model))
        sequential, continuous, ours = (_best_rate(way, streams, options.rounds) for way in ways)
        rates = f"{streams:7} {sequential:12.0f} {continuous:12.0f} {ours:12.0f}"
        print(f"{rates} {ours / sequential:17.2f} {ours / continuous:17.2f}")


def _best_rate(way: Any, streams: int, rounds: int) -> float:
    prompts = [[4 + (7 * row + at) % 1000 for at in range(PROMPT_TOKENS)] for row in range(streams)]
    with way as run:
        run(prompts[:1])
        return max(_rate(run, prompts) for _ in range(rounds))


def _rate(run: Way, prompts: Prompts) -> float:
    begin = time.perf_counter()
    run(prompts)
    return len(prompts) * TOKENS / (time.perf_counter() - begin)


def _check(tokens: int) -> None:
    if tokens != TOKENS:
        raise RuntimeError(f"{tokens} tokens instead of {TOKENS}")


def _load(name: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)


def _config() -> GenerationConfig:
    options = {"do_sample": False, "max_new_tokens": TOKENS, "eos_token_id": -1, "pad_token_id": 0}
    return GenerationConfig(**options)


@contextmanager
def _sequential(name: str) -> Iterator[Way]:
    model = _load(name)

    def run(prompts: Prompts) -> None:
        for prompt in prompts:
            ids = torch.tensor([prompt])
            output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=_config())
            _check(output.shape[1] - len(prompt))

    yield run


@contextmanager
def _continuous(name: str) -> Iterator[Way]:
    settings = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=512, allow_block_sharing=False)
    options = {"generation_config": _config(), "continuous_batching_config": settings}
    with _load(name).continuous_batching_context_manager(**options) as batches:

        def run(prompts: Prompts) -> None:
            batches.add_requests(list(prompts), max_new_tokens=TOKENS)
            for _ in prompts:
                _check(len(batches.get_result(timeout=60).generated_tokens))

        yield run


@contextmanager
def _ours(name: str) -> Iterator[Way]:
    engine = HFEngine(EngineConfig(name, engine_args={"dtype": "float32"}))

    async def one(index: int, prompt: Sequence[int]) -> None:
        sampling = Sampling(temperature=0, max_tokens=TOKENS, ignore_eos=True)
        request = GenerateRequest(request_id=str(index), model="bench", token_ids=prompt, sampling=sampling)
        async for output in engine.generate(await engine.prepare(request)):
            if output.finished:
                _check(output.finished.usage.completion_tokens)

    async def everyone(prompts: Prompts) -> None:
        await asyncio.gather(*(one(index, prompt) for index, prompt in enumerate(prompts)))

    with asyncio.Runner() as runner:
        runner.run(engine.start())
        yield lambda prompts: runner.run(everyone(prompts))
        runner.run(engine.close())


if __name__ == "__main__":
    main()
