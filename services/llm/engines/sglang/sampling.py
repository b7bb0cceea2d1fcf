"""Options of a request under the names of SGLang's, and the wishes that it has no names for."""

from collections.abc import Sequence
from typing import Any

from gpt_server.services.llm.engine import Sampling
from gpt_server.services.llm.engines.sglang.shaping import Wishes
from gpt_server.services.llm.sampling import filled

#: Below this SGLang is greedy.
GREEDY = 1e-6
#: Fields that SGLang has under the same name.
SAME = ("temperature", "top_p", "top_k", "min_p", "ignore_eos")


def options(given: Sampling, default: Sampling, max_tokens: int) -> dict[str, Any]:
    """Returns SGLang's parameters. Stop strings are not among them: they are found in the text, see `Choice`."""
    shape = filled(given, default)
    found: dict[str, Any] = {name: value for name in SAME if (value := getattr(given, name)) is not None}
    found |= {name: shape[name] for name in ("temperature", "top_p", "min_p")}
    found["top_k"] = shape["top_k"] if shape["top_k"] > 0 else -1
    found["max_new_tokens"] = max_tokens
    found["min_new_tokens"] = given.min_tokens or 0
    if given.stop_token_ids:
        found["stop_token_ids"] = list(given.stop_token_ids)
    if given.logit_bias:
        found["logit_bias"] = {str(token): bias for token, bias in given.logit_bias.items()}
    return found


def wishes(
    given: Sampling, default: Sampling, bad_words: Sequence[Sequence[int]], number: int, **thinking: Any
) -> Wishes:
    """Returns what SGLang has no parameter for, of the choice of this number.

    Args:
        given: the request's options.
        default: the model's own.
        bad_words: as tokens.
        number: of the choice.
        thinking: `think_…` of `Wishes`.
    """
    shape = filled(given, default)
    seeded = given.seed is not None and shape["temperature"] >= GREEDY
    return Wishes(
        allowed=tuple(given.allowed_token_ids),
        bad_words=tuple(map(tuple, bad_words)),
        presence_penalty=given.presence_penalty or 0.0,
        frequency_penalty=given.frequency_penalty or 0.0,
        repetition_penalty=shape["repetition_penalty"],
        seed=_seed(given.seed or 0, number) if seeded else None,
        draw=(shape["temperature"], shape["top_k"], shape["top_p"], shape["min_p"]) if seeded else (1.0, 0, 1.0, 0.0),
        **thinking,
    )


def _seed(seed: int, number: int) -> int:
    """Mixes the number of a choice in, so that choices differ and their draws do not overlap."""
    return (seed * 1_000_003 + number) * 0x9E3779B97F4A7C15 % 2**62
