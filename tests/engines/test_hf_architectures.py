"""The hf engine runs what transformers runs: other architectures than the demo's, tiny and random, in a crowd.

Their weights are large, so that the likeliest token is clear; attention over windows is shorter than the prompts.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from gpt_server.services.llm.engine import EngineConfig
from gpt_server.services.llm.engines.hf import HFEngine
from tests.engines.asking import ask, greedy, request
from tests.engines.hf_model import MODEL

VOCABULARY = 1280
TOKENS = 40
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 12},
    "gemma2": {"sliding_window": 12},
    "gemma3_text": {"sliding_window": 12},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gpt2": {"n_positions": 512, "n_embd": 32, "n_layer": 3, "n_head": 4},
}


def save(folder: Path, kind: str, **options: Any) -> str:
    """Makes a random model with the demo's tokenizer."""
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **SMALL | options)
    make: Any = AutoModelForCausalLM.from_config
    make(config, dtype=torch.float32).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(folder)
    return str(folder)


@torch.inference_mode()
def plain_greedy(folder: str, prompt: list[int]) -> list[int]:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    output = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, eos_token_id=None)
    return list(output[0, len(prompt) :].tolist())


@pytest.mark.parametrize("kind", ARCHITECTURES)
async def test_greedy_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = save(tmp_path, kind, **ARCHITECTURES[kind])
    engine = HFEngine(EngineConfig(folder, max_running=4, engine_args={"prefill_chunk_tokens": 16}))
    await engine.start()
    try:
        prompts = [[3 + (7 * length + at) % 900 for at in range(length)] for length in (5, 30, 3, 47, 18, 9)]
        wanted = [request(token_ids=prompt, sampling=greedy(TOKENS, ignore_eos=True)) for prompt in prompts]
        answers = await asyncio.gather(*(ask(engine, each) for each in wanted))
    finally:
        await engine.close()
    expected = [plain_greedy(folder, prompt) for prompt in prompts]
    assert [answer.token_ids() for answer in answers] == expected


async def test_ids_beyond_the_tokenizer_have_no_text(tmp_path: Path) -> None:
    engine = HFEngine(EngineConfig(save(tmp_path, "llama", vocab_size=VOCABULARY + 70)))
    details = await engine.start()
    try:
        sampling = greedy(3, ignore_eos=True, logit_bias={VOCABULARY + 60: 100.0}, logprobs=True)
        answer = await ask(engine, request(token_ids=[5], sampling=sampling))
    finally:
        await engine.close()
    assert details.vocab_size == VOCABULARY + 70
    assert answer.token_ids() == [VOCABULARY + 60] * 3
    assert answer.text() == ""


async def test_an_architecture_with_another_kind_of_memory_is_refused_by_name(tmp_path: Path) -> None:
    folder = save(tmp_path, "mamba")
    engine = HFEngine(EngineConfig(folder))
    with pytest.raises(RuntimeError, match="MambaForCausalLM needs"):
        await engine.start()
    await engine.close()
