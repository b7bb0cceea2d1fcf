"""What each engine does with every field of a request: source of the table in docs/fields.md, held by `FieldsSuite`.

An engine is a line in `ABILITIES`. It honours each field of `GenerateRequest` that its line does not name. Imports no
engine library, so that the table is made without any.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpt_server.llm.v1 import llm_service_pb2


@dataclass(frozen=True)
class Abilities:
    """What an engine does not honour, by the paths of `field_paths`.

    Attributes:
        refuses: fields that are refused as `UnsupportedFeature`.
        harmless: fields that are accepted and change nothing, and why they need not.
    """

    refuses: frozenset[str] = frozenset()
    harmless: Mapping[str, str] = field(default_factory=dict)


_NO_TEMPLATE = "it sees the words of messages, no template"
_NO_MODEL = "there is no distribution to shape"

ABILITIES: Mapping[str, Abilities] = {
    "hf": Abilities(
        refuses=frozenset({"chat.messages.content.audio", "chat.messages.content.file"}),
        harmless={
            "cache_salt": "no prompt is kept for later requests",
            "chat.messages.content.image.detail": "the model's own processor sizes pictures",
        },
    ),
    "vllm": Abilities(
        refuses=frozenset({"chat.messages.content.audio", "chat.messages.content.file"}),
        harmless={"chat.messages.content.image.detail": "the model's own processor sizes pictures"},
    ),
    "sglang": Abilities(
        refuses=frozenset({"chat.messages.content.audio", "chat.messages.content.file"}),
        harmless={"chat.messages.content.image.detail": "the model's own processor sizes pictures"},
    ),
    # The pytorch backend, with prompts kept for later requests.
    "lmdeploy": Abilities(
        refuses=frozenset({"chat.messages.content.audio", "chat.messages.content.file", "priority", "cache_salt"}),
        harmless={"chat.messages.content.image.detail": "the model's own processor sizes pictures"},
    ),
    "fake": Abilities(
        refuses=frozenset(
            {
                "chat.messages.content.audio",
                "chat.messages.content.file",
                "sampling.bad_words",
                "sampling.allowed_token_ids",
                "structured_output.regex",
                "structured_output.grammar",
                "structured_output.structural_tag",
            }
        ),
        harmless={
            "cache_salt": "no prompt is kept for later requests",
            "add_special_tokens": "words have no special tokens",
            "sampling.skip_special_tokens": "words have no special tokens",
            "chat.messages.content.image.detail": "a picture is one word",
            "chat.tools.strict": "calls are scripted",
        }
        | dict.fromkeys(
            (
                *(f"chat.messages.{name}" for name in ("role", "name", "tool_call_id", "reasoning")),
                *(f"chat.messages.tool_calls.{name}" for name in ("id", "name", "arguments")),
                *(f"chat.tools.{name}" for name in ("description", "parameters")),
                "chat.add_generation_prompt",
            ),
            _NO_TEMPLATE,
        )
        | {
            f"sampling.{name}": _NO_MODEL
            for name in ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty")
        }
        | {"sampling.repetition_penalty": _NO_MODEL, "sampling.logit_bias": _NO_MODEL},
    ),
}


def field_paths() -> list[str]:
    """Returns the paths of all fields of `GenerateRequest` that hold a value, in the order of the protos."""
    return list(_leaves(llm_service_pb2.GenerateRequest.DESCRIPTOR, ""))


def _leaves(message: Any, prefix: str) -> Iterator[str]:
    for one in message.fields:
        path, inner = f"{prefix}{one.name}", one.message_type
        # A file, a map and a message of one field (a list, a mark) are one value.
        if inner is None or inner.name == "Media" or inner.GetOptions().map_entry or len(inner.fields) <= 1:
            yield path
        else:
            yield from _leaves(inner, f"{path}.")
