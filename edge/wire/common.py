"""What every answer has: its head, usage, log-probabilities."""

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.replicas import Replica
from gpt_server.llm.v1 import llm_service_pb2

LEAST_LOGPROB = -9999.0  # JSON has no infinity; OpenAI and vLLM say this
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What identifies an answer, the same in all its chunks."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str

    @classmethod
    def of(cls, prefix: str, kind: str, model: str, replica: Replica | None) -> "Head":
        """Returns a new one. The fingerprint changes with the version, the engine and the model that answer."""
        status = replica.models.get(model) if replica else None
        source = f"{replica.version if replica else ''}|{status.model.engine if status else ''}|{model}"
        fingerprint = "fp_" + hashlib.sha256(source.encode()).hexdigest()[:10]
        return cls(f"{prefix}-{uuid.uuid4().hex}", kind, int(time.time()), model, fingerprint)

    def fields(self, kind: str = "") -> dict[str, Any]:
        """Returns it as the first keys of a JSON object, `object` being `kind` if given."""
        return {
            "id": self.id,
            "object": kind or self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }


def usage_fields(usages: Iterable[usage_pb2.Usage]) -> dict[str, Any]:
    """Returns OpenAI's `usage` of one answer, which took one call or several. Details stand in it if they are known."""
    total = usage_pb2.Usage()
    for usage in usages:
        total.prompt_tokens += usage.prompt_tokens
        total.completion_tokens += usage.completion_tokens
        if usage.HasField("cached_tokens"):
            total.cached_tokens += usage.cached_tokens
        if usage.HasField("reasoning_tokens"):
            total.reasoning_tokens += usage.reasoning_tokens
    fields: dict[str, Any] = token_counts(total.prompt_tokens, total.completion_tokens)
    if total.HasField("cached_tokens"):
        fields["prompt_tokens_details"] = {"cached_tokens": total.cached_tokens}
    if total.HasField("reasoning_tokens"):
        fields["completion_tokens_details"] = {"reasoning_tokens": total.reasoning_tokens}
    return fields


def token_counts(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Returns the three counts that every `usage` has."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def chat_logprobs(logprobs: Sequence[llm_service_pb2.TokenLogprob]) -> dict[str, Any]:
    """Returns the `logprobs` of a chat choice."""
    content = [_score(item.sampled) | {"top_logprobs": [_score(score) for score in item.top]} for item in logprobs]
    return {"content": content, "refusal": None}


def completion_logprobs(logprobs: Sequence[llm_service_pb2.TokenLogprob], offset: int) -> dict[str, Any]:
    """Returns the `logprobs` of a completion choice, in the old shape.

    Args:
        logprobs: of tokens that follow each other.
        offset: characters of the choice's text before the first of them.
    """
    fields: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for item in logprobs:
        fields["tokens"].append(item.sampled.token)
        fields["token_logprobs"].append(_finite(item.sampled.logprob))
        # The likeliest come last, so that of tokens with the same text the likeliest one stays.
        fields["top_logprobs"].append({score.token: _finite(score.logprob) for score in reversed(item.top)})
        fields["text_offset"].append(offset)
        offset += len(item.sampled.token)
    return fields


def event(document: Any) -> bytes:
    """Returns one SSE event that carries a JSON document."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _score(score: llm_service_pb2.TokenScore) -> dict[str, Any]:
    return {"token": score.token, "logprob": _finite(score.logprob), "bytes": list(score.token_bytes)}


def _finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
