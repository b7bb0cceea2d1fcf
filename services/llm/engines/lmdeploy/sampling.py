"""Options of a request as LMDeploy's generation configuration, and what a backend cannot do."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from lmdeploy.messages import GenerationConfig

from gpt_server.services.common.errors import UnsupportedFeature
from gpt_server.services.llm.engine import GenerateRequest, Sampling
from gpt_server.services.llm.engines.lmdeploy.arguments import Backend
from gpt_server.services.llm.engines.lmdeploy.shaping import Shaping

#: Below this the likeliest token is taken.
GREEDY = 1e-5
#: What is done by `Shaping`, or by scoring a prompt, which the turbomind backend has neither of.
OF_PYTORCH_ALONE = (
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "bad_words",
    "allowed_token_ids",
    "prompt_logprobs",
)


def refuse(request: GenerateRequest, backend: Backend, caches: bool) -> None:
    """Raises `UnsupportedFeature` for what LMDeploy cannot do. `caches`: prompts are kept for later requests."""
    if request.priority is not None:
        raise UnsupportedFeature("priority", "LMDeploy takes requests in the order they come in")
    if request.cache_salt and caches:
        raise UnsupportedFeature("cache_salt", "LMDeploy keeps prompts for all who ask (enable_prefix_caching)")
    if backend == "pytorch":
        return
    why = f"not with the {backend} backend of LMDeploy; the pytorch one has it"
    for name in OF_PYTORCH_ALONE:
        if getattr(request.sampling, name) not in (None, (), [], {}):
            raise UnsupportedFeature(f"sampling.{name}", why)
    if request.reasoning is not None and request.reasoning.max_tokens is not None:
        raise UnsupportedFeature("reasoning.max_tokens", why)


def options(
    given: Sampling, shape: Mapping[str, Any], number: int, max_tokens: int, end_ids: Sequence[int], **further: Any
) -> GenerationConfig:
    """Returns the options of the choice of this number.

    Stop strings are not among them: they are found in the text, see `Choice`.

    Args:
        given: the request's options.
        shape: the same, `filled`.
        number: of the choice.
        max_tokens: how many may be sampled.
        end_ids: tokens that end it.
        further: more of LMDeploy's options.
    """
    draws = shape["temperature"] >= GREEDY
    how: dict[str, Any] = {name: shape[name] for name in ("temperature", "top_p", "top_k", "min_p")}
    if not draws:
        how = {"temperature": 1.0, "top_k": 1}
    how["top_k"] = max(how["top_k"], 0)
    return GenerationConfig(
        do_sample=draws,
        max_new_tokens=max_tokens,
        stop_token_ids=list(end_ids),
        random_seed=random.getrandbits(32) if given.seed is None else _seed(given.seed, number),
        # LMDeploy reports none at all when asked for the sampled token alone.
        logprobs=max(given.top_logprobs or 0, 1) if given.logprobs else None,
        **how,
        **further,
    )


def scoring(alternatives: int) -> GenerationConfig:
    """Returns the options of a sequence that samples nothing, and tells how likely its prompt was."""
    return GenerationConfig(max_new_tokens=0, top_k=1, temperature=1.0, logprobs=alternatives, logprob_start_len=0)


def shaping(
    prompt: Sequence[int],
    padding: int,
    given: Sampling,
    shape: Mapping[str, Any],
    bad_words: Sequence[Sequence[int]],
    end_ids: Sequence[int],
    **thinking: Any,
) -> Shaping:
    """Returns what LMDeploy has no option for. `thinking`: `think_…` of `Shaping`."""
    return Shaping(
        tuple(prompt),
        padding,
        logit_bias=dict(given.logit_bias),
        allowed=tuple(given.allowed_token_ids),
        bad_words=tuple(map(tuple, bad_words)),
        presence_penalty=given.presence_penalty or 0.0,
        frequency_penalty=given.frequency_penalty or 0.0,
        repetition_penalty=shape["repetition_penalty"],
        min_tokens=given.min_tokens or 0,
        end_ids=tuple(end_ids),
        **thinking,
    )


def _seed(seed: int, number: int) -> int:
    """Mixes the number of a choice in, so that choices differ. LMDeploy reads 32 bits."""
    return (seed * 1_000_003 + number) * 0x9E3779B1 % 2**32
