"""Options of a request under the names of vLLM's requests, which for most of them are the same."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gpt_server.services.llm.engine import GenerateRequest, Sampling, StructuredOutput
from gpt_server.services.llm.forms import structured, text

#: Fields of `Sampling` that vLLM's requests have too; `logprobs` differs between its two dialects.
SAME = tuple(
    field.name
    for field in fields(Sampling)
    if field.name not in ("max_tokens", "logprobs", "top_logprobs", "logit_bias")
)


def options(request: GenerateRequest) -> dict[str, Any]:
    """Returns what is set in a request, as arguments of vLLM's chat or completion request."""
    found = {name: _plain(value) for name in SAME if (value := getattr(request.sampling, name)) not in (None, ())}
    if request.sampling.logit_bias:
        found["logit_bias"] = {str(token): bias for token, bias in request.sampling.logit_bias.items()}
    if request.structured_output is not None:
        found["structured_outputs"] = _constraint(request.structured_output)
    if request.reasoning is not None and request.reasoning.max_tokens is not None:
        found["thinking_token_budget"] = request.reasoning.max_tokens
    return found


def chat_logprobs(sampling: Sampling) -> dict[str, Any]:
    """Returns `logprobs` as a chat request has it."""
    return {"logprobs": True, "top_logprobs": sampling.top_logprobs or 0} if sampling.logprobs else {}


def completion_logprobs(sampling: Sampling) -> dict[str, Any]:
    """Returns `logprobs` as a completion request has it."""
    return {"logprobs": sampling.top_logprobs or 0} if sampling.logprobs else {}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _constraint(form: StructuredOutput) -> Mapping[str, Any]:
    """A form as vLLM takes it; JSON with the blanks of `json.dumps`, which vLLM's own conversion leaves free or out."""
    if form.structural_tag is not None:
        return {"structural_tag": form.structural_tag}
    return {"grammar": text(structured(form))}
