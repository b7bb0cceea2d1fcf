"""Adapters (LoRA) on the real SGLang: the same as the merged weights in plain transformers."""

from pathlib import Path

import pytest
import torch

from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.sglang import SGLangEngine
from tests.engines.adapters_suite import ADAPTERS
from tests.engines.asking import Subject, ask, greedy, request
from tests.engines.llm_model_suite import Plain, clear_prompts
from tests.engines.tiny import merged
from tests.with_sglang.llm import CHAT


@pytest.mark.asyncio(loop_scope="session")
async def test_an_adapter_says_what_its_weights_say(sglang: Subject) -> None:
    plain = Plain(CHAT)
    weights = dict(plain.model.named_parameters())
    with torch.no_grad():
        for name, added in merged(ADAPTERS / "pirate", CHAT).items():
            weights[name] += added
    changed = clear_prompts(plain, set(sglang.details.eos_token_ids))
    for one in changed:
        answer = await ask(sglang.engine, request(one.text, adapter="pirate", sampling=greedy(24)))
        assert answer.token_ids() == one.continuation
    base = [(await ask(sglang.engine, request(one.text))).token_ids() for one in changed]
    assert base != [one.continuation for one in changed]


async def test_a_folder_that_is_no_adapter(tmp_path: Path) -> None:
    config = EngineConfig(CHAT, {"x": str(tmp_path)})
    message = f"{tmp_path} has no adapter_config.json: not an adapter's folder"
    assert SGLangEngine.check(config) == [Problem("adapters.x", message)]


async def test_an_adapter_that_would_end_the_scheduler(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 8, "target_modules": ["v_proj"]}')
    (problem,) = SGLangEngine.check(EngineConfig(CHAT, {"x": str(tmp_path)}))
    assert problem == Problem("adapters.x", "changes v_proj; of these SGLang takes q_proj and v_proj together, or none")
