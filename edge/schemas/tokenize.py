"""The bodies of POST /tokenize and POST /detokenize, in vLLM's shapes."""

from typing import ClassVar

from pydantic import Field, model_validator

from gpt_server.edge.schemas.base import Body, FieldTable, Int32, invalid
from gpt_server.edge.schemas.chat import Conversation, Message
from gpt_server.edge.schemas.fields import DETOKENIZE_FIELDS, TOKENIZE_FIELDS


class TokenizeRequest(Conversation):
    """A raw prompt, or a conversation that the chat template renders first."""

    fields: ClassVar[FieldTable] = TOKENIZE_FIELDS

    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    prompt: str | None = None
    messages: list[Message] = Field(default=[])
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _has_one_prompt(self) -> "TokenizeRequest":
        if (self.prompt is None) == (not self.messages):
            raise invalid("Exactly one of 'prompt' and 'messages' is required.", "prompt")
        extra = self.model_fields_set & (Conversation.model_fields.keys() - {"messages"})
        if self.prompt is not None and extra:
            raise invalid("Only allowed with 'messages'.", min(extra))
        return self


class DetokenizeRequest(Body):
    """Token ids."""

    fields: ClassVar[FieldTable] = DETOKENIZE_FIELDS

    model: str = Field(min_length=1, description="Name of the model, as /v1/models lists it.")
    tokens: list[Int32]
