"""Adapters (LoRA) on the hf engine."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.engines.adapters_suite import ADAPTERS, check_load_and_unload
from tests.engines.asking import Answer, ask, greedy, request
from tests.engines.hf_model import MODEL, running

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT of transformers


async def test_load_and_unload(tmp_path: Path) -> None:
    async with running(adapters={"pirate": str(ADAPTERS / "pirate")}) as subject:
        await check_load_and_unload(subject, tmp_path)


async def test_an_adapter_scores_as_peft_alone_does() -> None:
    prompt = "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    async with running() as subject:
        await subject.engine.load_adapter("pirate", ADAPTERS / "pirate")
        answer = await ask(
            subject.engine, request(text=prompt, adapter="pirate", sampling=greedy(1, logprobs=True, top_logprobs=5))
        )
        await subject.engine.unload_adapter("pirate")
        base = await ask(subject.engine, request(text=prompt, sampling=greedy(1, logprobs=True, top_logprobs=5)))
    plain: Any = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    check_scores(base, plain)
    check_scores(answer, PeftModel.from_pretrained(plain, str(ADAPTERS / "pirate")))


def check_scores(answer: Answer, model: Any) -> None:
    """The likeliest first tokens are as likely as a model alone says."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([answer.prompt_token_ids])).logits[0, -1]
    wanted = torch.log_softmax(logits.float(), -1)
    for score in answer.logprobs()[0].top:
        assert abs(score.logprob - wanted[score.token_id].item()) < 1e-4
