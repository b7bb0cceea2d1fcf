"""Log-probabilities on the wire, in the three shapes that clients know: of chat, of completions, of vLLM's prompts."""

import codecs
from collections.abc import Sequence
from typing import Any

from gpt_server.llm.v1.llm_service_pb2 import TokenLogprob, TokenScore

LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI and vLLM say this


def chat_logprobs(logprobs: Sequence[TokenLogprob], as_ids: bool) -> dict[str, Any]:
    """Returns the `logprobs` of a chat choice. `as_ids`: tokens are written as `token_id:N`."""

    def score(one: TokenScore) -> dict[str, Any]:
        return {"token": _name(one, as_ids), "logprob": _finite(one.logprob), "bytes": list(one.raw_bytes)}

    content = [score(item.sampled) | {"top_logprobs": [score(one) for one in item.top]} for item in logprobs]
    return {"content": content, "refusal": None}


def prompt_logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any] | None]:
    """Returns `prompt_logprobs` as vLLM has them: by token id, nothing for the first token.

    The rank of a token that is not among the likeliest ones is not known: it is null.
    """
    found: list[dict[str, Any] | None] = [None]
    for item in logprobs[1:]:
        scores = {item.sampled.token_id: _vllm(item.sampled, None)}
        scores |= {one.token_id: _vllm(one, rank) for rank, one in enumerate(item.top, 1)}
        found.append({str(token_id): score for token_id, score in scores.items()})
    return found


def _vllm(score: TokenScore, rank: int | None) -> dict[str, Any]:
    return {"logprob": _finite(score.logprob), "rank": rank, "decoded_token": score.token}


class CompletionLogprobs:
    """The `logprobs` of one completion choice, in the old shape, piece by piece.

    Args:
        as_ids: whether tokens are written as `token_id:N`.
    """

    def __init__(self, as_ids: bool) -> None:
        self._as_ids = as_ids
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def echo(self, logprobs: Sequence[TokenLogprob], text: str) -> dict[str, list[Any]]:
        """Returns those of the prompt, `text` being its text. The first token follows nothing: it has none."""
        fields = self.next(logprobs)
        fields["token_logprobs"][0] = fields["top_logprobs"][0] = None
        # Tokens that the text does not show, such as begin-of-sequence, stand at its start.
        hidden = self._offset - len(text)
        fields["text_offset"] = [max(0, offset - hidden) for offset in fields["text_offset"]]
        self._offset = len(text)
        return fields

    def next(self, logprobs: Sequence[TokenLogprob]) -> dict[str, list[Any]]:
        """Returns those of the tokens that come next."""
        fields: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
        for item in logprobs:
            # The likeliest come last, so that of tokens with the same text the likeliest one stays.
            scores = (item.sampled, *reversed(item.top))
            fields["tokens"].append(_name(item.sampled, self._as_ids))
            fields["token_logprobs"].append(_finite(item.sampled.logprob))
            fields["top_logprobs"].append({_name(one, self._as_ids): _finite(one.logprob) for one in scores})
            fields["text_offset"].append(self._offset)
            self._offset += len(self._decoder.decode(item.sampled.raw_bytes))
        return fields


def joined(parts: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """Returns pieces of a choice's log-probabilities as one."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def _name(score: TokenScore, as_id: bool) -> str:
    return f"token_id:{score.token_id}" if as_id else score.token


def _finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
