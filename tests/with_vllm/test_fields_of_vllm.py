"""No field that vLLM's own server takes is unknown to the edge: it is honoured, harmless or refused by name."""

import pytest
from pydantic import BaseModel
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest

from gpt_server.edge.schemas.base import FieldTable
from gpt_server.edge.schemas.fields import CHAT_FIELDS, COMPLETION_FIELDS


@pytest.mark.parametrize(
    ("theirs", "ours"), [(ChatCompletionRequest, CHAT_FIELDS), (CompletionRequest, COMPLETION_FIELDS)]
)
def test_every_field_of_vllm_is_decided_on(theirs: type[BaseModel], ours: FieldTable) -> None:
    fields = {field.alias or name for name, field in theirs.model_fields.items()}
    assert "repetition_penalty" in fields  # the reading of vLLM's class works
    assert sorted(fields - ours.keys()) == []
