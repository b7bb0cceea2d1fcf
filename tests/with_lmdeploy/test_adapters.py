"""Adapters (LoRA) on the real LMDeploy: the same as the merged weights in plain transformers."""

import pytest
import torch

from gpt_server.services.common.errors import UnsupportedFeature
from tests.engines.adapters_suite import ADAPTERS
from tests.engines.asking import Subject, ask, greedy, request
from tests.engines.llm_model_suite import Plain, clear_prompts
from tests.engines.tiny import merged
from tests.with_lmdeploy.llm import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_adapter_says_what_its_weights_say(lmdeploy: Subject) -> None:
    plain = Plain(CHAT)
    weights = dict(plain.model.named_parameters())
    with torch.no_grad():
        for name, added in merged(ADAPTERS / "pirate", CHAT).items():
            weights[name] += added
    changed = clear_prompts(plain, set(lmdeploy.details.eos_token_ids))
    for one in changed:
        answer = await ask(lmdeploy.engine, request(one.text, adapter="pirate", sampling=greedy(24)))
        assert answer.token_ids() == one.continuation
    base = [(await ask(lmdeploy.engine, request(one.text))).token_ids() for one in changed]
    assert base != [one.continuation for one in changed]


async def test_none_comes_or_goes_while_it_runs(lmdeploy: Subject) -> None:
    with pytest.raises(UnsupportedFeature) as refusal:
        await lmdeploy.engine.load_adapter("robot", ADAPTERS / "robot")
    assert refusal.value.field == "adapter"
    with pytest.raises(UnsupportedFeature):
        await lmdeploy.engine.unload_adapter("pirate")
