"""What every answer has: its head and usage."""

import hashlib
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from gpt_server.common.v1 import usage_pb2
from gpt_server.edge.replicas import Replica

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What identifies an answer, the same in all its chunks."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    service_tier: str | None = None

    @classmethod
    def of(cls, prefix: str, kind: str, model: str, replica: Replica | None, tier: str | None = None) -> "Head":
        """Returns a new one. The fingerprint changes with the version, the engine and the model that answer.

        Args:
            prefix: of the id.
            kind: `object`.
            model: as the caller wrote it.
            replica: who answers.
            tier: the service tier that the caller wants, if any; there is but one, which the answer says.
        """
        status = replica.models.get(model) if replica else None
        source = f"{replica.version if replica else ''}|{status.model.engine if status else ''}|{model}"
        fingerprint = "fp_" + hashlib.sha256(source.encode()).hexdigest()[:10]
        return cls(f"{prefix}-{uuid.uuid4().hex}", kind, int(time.time()), model, fingerprint, tier and "default")

    def fields(self, kind: str = "") -> dict[str, Any]:
        """Returns it as the first keys of a JSON object, `object` being `kind` if given."""
        fields = {
            "id": self.id,
            "object": kind or self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }
        return fields if self.service_tier is None else fields | {"service_tier": self.service_tier}


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


def event(document: Any) -> bytes:
    """Returns one SSE event that carries a JSON document."""
    return b"data: " + orjson.dumps(document) + b"\n\n"
