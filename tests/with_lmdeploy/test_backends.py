"""What the turbomind backend cannot do is refused by name; it needs a GPU to do the rest."""

from typing import Any

import pytest

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.llm.engine import Reasoning
from gpt_server.services.llm.engines.lmdeploy.sampling import refuse
from tests.engines.asking import greedy, request

SAMPLING: dict[str, Any] = {
    "presence_penalty": 0.0,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.1,
    "logit_bias": {5: 1.0},
    "bad_words": ["x"],
    "allowed_token_ids": [5],
    "prompt_logprobs": 0,
}


@pytest.mark.parametrize("name", SAMPLING)
def test_options_of_the_pytorch_backend_alone(name: str) -> None:
    wanted = request(sampling=greedy(**{name: SAMPLING[name]}))
    with pytest.raises(UnsupportedFeature) as refusal:
        refuse(wanted, "turbomind", caches=False)
    assert refusal.value.field == f"sampling.{name}"
    refuse(wanted, "pytorch", caches=False)


def test_a_budget_of_reasoning() -> None:
    with pytest.raises(UnsupportedFeature) as refusal:
        refuse(request(reasoning=Reasoning(max_tokens=5)), "turbomind", caches=False)
    assert refusal.value.field == "reasoning.max_tokens"


def test_what_is_left() -> None:
    sampling = greedy(stop=["x"], seed=1, n=2, logprobs=True, top_logprobs=3, min_tokens=2, stop_token_ids=[5])
    refuse(request(sampling=sampling, reasoning=Reasoning(enabled=True)), "turbomind", caches=True)
    refuse(request(cache_salt="mine"), "turbomind", caches=False)
