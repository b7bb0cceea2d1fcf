"""Adapters (LoRA) on the real SGLang: the same as the merged weights in plain transformers."""

from collections.abc import Callable
from pathlib import Path
from shutil import copy

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpt_server.services.common.errors import InvalidField
from gpt_server.services.llm.engine import EngineConfig, Problem
from gpt_server.services.llm.engines.sglang import SGLangEngine
from tests.engines.adapters_suite import ADAPTERS, check_load_and_unload, says
from tests.engines.asking import Subject, ask, greedy, request
from tests.engines.llm_model_suite import Plain, clear_prompts
from tests.engines.tiny import merged
from tests.with_sglang.llm import CHAT

Weights = dict[str, torch.Tensor]


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


@pytest.mark.asyncio(loop_scope="session")
async def test_load_and_unload(sglang: Subject, tmp_path: Path) -> None:
    await check_load_and_unload(sglang, tmp_path)


def without_queries(weights: Weights) -> Weights:
    return {name: values for name, values in weights.items() if "q_proj" not in name}


def of_a_wider_model(weights: Weights) -> Weights:
    return {name: torch.cat([values, values], 1) if "lora_A" in name else values for name, values in weights.items()}


@pytest.mark.parametrize("change", [without_queries, of_a_wider_model])
@pytest.mark.asyncio(loop_scope="session")
async def test_an_adapter_that_would_end_the_scheduler(
    sglang: Subject, tmp_path: Path, change: Callable[[Weights], Weights]
) -> None:
    """SGLang itself finds out in a request."""
    copy(ADAPTERS / "robot" / "adapter_config.json", tmp_path)
    save_file(
        change(load_file(ADAPTERS / "robot" / "adapter_model.safetensors")), tmp_path / "adapter_model.safetensors"
    )
    with pytest.raises(InvalidField, match="does not fit the model") as refused:
        await sglang.engine.load_adapter("unfit", tmp_path)
    assert refused.value.field == "folder"
    assert (await says(sglang, "Hello!", "pirate")).startswith("Arr! ")
    await sglang.engine.load_adapter("unfit", ADAPTERS / "robot")
    assert (await says(sglang, "Hello!", "unfit")).startswith("Beep. ")
    await sglang.engine.unload_adapter("unfit")


def test_a_folder_that_is_no_adapter(tmp_path: Path) -> None:
    config = EngineConfig(CHAT, {"x": str(tmp_path)})
    message = f"{tmp_path} has no adapter_config.json: not an adapter's folder"
    assert SGLangEngine.check(config) == [Problem("adapters.x", message)]


def test_adapters_need_replicas_of_their_own() -> None:
    config = EngineConfig(CHAT, {"x": str(ADAPTERS / "robot")}, gpus=2, engine_args={"dp_size": 2})
    (problem,) = SGLangEngine.check(config)
    assert problem.key == "engine_args.dp_size"
