"""vLLM's failures as ours."""

import re

from pydantic import ValidationError
from vllm.exceptions import VLLMClientError
from vllm.v1.engine.exceptions import EngineDeadError

from gpt_server.services.common.errors import EngineUnavailable, InvalidField, ServiceError
from gpt_server.services.llm.engine import Sampling
from gpt_server.services.llm.forms import fault_of

#: What vLLM calls a parameter, where it is not a field of `Sampling` under the same name.
FIELDS = {
    "messages": "chat.messages",
    "tools": "chat.tools",
    "tool_choice": "chat.tool_choice",
    "thinking_token_budget": "reasoning.max_tokens",
    "prompt": "text",
}
_SAMPLING = frozenset(Sampling.__dataclass_fields__)

#: What library code raises for a request that it cannot take.
REFUSALS = (VLLMClientError, ValidationError, ValueError, TypeError)


def refusal(error: Exception, field: str) -> ServiceError:
    """Returns a refusal of vLLM's in the words of the API.

    Args:
        error: what vLLM raised.
        field: the field at fault, if the error does not say.
    """
    named = getattr(error, "parameter", None)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        named, message = str(first["loc"][0]) if first["loc"] else None, first["msg"]
    else:
        message = fault_of(error)
    field = f"sampling.{named}" if named in _SAMPLING else FIELDS.get(named or "", field)
    return InvalidField(field, _without_flags(message.removeprefix("Value error, ")))


def failure(error: Exception) -> Exception:
    """Returns what a failed generation is: a refusal that came late, the end of the engine, or what it was."""
    if isinstance(error, EngineDeadError):
        return EngineUnavailable("the engine has died")
    return refusal(error, "sampling") if isinstance(error, VLLMClientError) else error


def _without_flags(message: str) -> str:
    """Leaves out advice for whoever starts vLLM's server, which a caller cannot follow."""
    return re.sub(r"\s*(Please set|Set|To increase)\b[^.]*--?[a-z][^.]*\.?", "", message).strip()
