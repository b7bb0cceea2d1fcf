"""Adapters (LoRA) on the real vLLM: the same as the merged weights in plain transformers."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.vllm import VLLMEngine
from tests.engines.adapters_suite import ADAPTERS, check_load_and_unload
from tests.engines.asking import Subject, ask, greedy, request
from tests.engines.llm_model_suite import Plain, clear_prompts
from tests.engines.tiny import merged
from tests.with_vllm.llm import CHAT, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def subject() -> AsyncGenerator[Subject, None]:
    async with running(adapters={"pirate": str(ADAPTERS / "pirate")}, adapter_folder=ADAPTERS) as started:
        yield started


async def test_base_and_adapter_say_what_their_weights_say(subject: Subject) -> None:
    plain = Plain(CHAT)
    ends = set(subject.details.eos_token_ids)
    for one in clear_prompts(plain, ends)[:3]:
        assert (await ask(subject.engine, request(one.text))).token_ids() == one.continuation
    weights = dict(plain.model.named_parameters())
    with torch.no_grad():
        for name, added in merged(ADAPTERS / "pirate", CHAT).items():
            weights[name] += added
    changed = clear_prompts(plain, ends)
    for one in changed:
        answer = await ask(subject.engine, request(one.text, adapter="pirate", sampling=greedy(24)))
        assert answer.token_ids() == one.continuation
    base = [(await ask(subject.engine, request(one.text))).token_ids() for one in changed]
    assert base != [one.continuation for one in changed]


async def test_load_and_unload(subject: Subject, tmp_path: Path) -> None:
    await check_load_and_unload(subject, tmp_path)


async def test_a_folder_that_is_no_adapter(tmp_path: Path) -> None:
    config = EngineConfig(CHAT, {"x": str(tmp_path)})
    message = f"{tmp_path} has no adapter_config.json: not an adapter's folder"
    assert VLLMEngine.check(config) == [Problem("adapters.x", message)]
