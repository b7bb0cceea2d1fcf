"""Failures with a meaning, raised by engines, admission and servicers. Knows nothing of gRPC.

`reason` is a value of `gpt_server.common.v1.ErrorReason` without its prefix; `services/common/status.py`
turns it into a `google.rpc.Status`. Fields are named by their path in the request message, for example
`sampling.temperature` or `chat.messages[2].content[0]`.
"""

from typing import ClassVar


class ServiceError(Exception):
    """Base class. The message is written for the caller: what was wrong and what is allowed."""

    reason: ClassVar[str]

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidField(ServiceError):
    """A field has a value that is not allowed."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class ContextLengthExceeded(ServiceError):
    """The prompt, or the prompt and the requested output, do not fit the context window.

    The wording is the one that LangChain and LiteLLM look for.
    """

    reason = "CONTEXT_LENGTH_EXCEEDED"

    def __init__(
        self, limit_tokens: int, prompt_tokens: int, output_tokens: int = 0, *, field: str | None = None
    ) -> None:
        wanted = f"{prompt_tokens} in the messages" + (f", {output_tokens} in the completion" if output_tokens else "")
        super().__init__(
            f"This model's maximum context length is {limit_tokens} tokens. However, your messages resulted in "
            f"{prompt_tokens + output_tokens} tokens ({wanted}) (context_length_exceeded). "
            "Please reduce the length of the messages or of the completion.",
            field=field,
        )


class UnsupportedFeature(ServiceError):
    """The engine cannot honour a field that is set."""

    reason = "UNSUPPORTED_FEATURE"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class WrongModelKind(ServiceError):
    """The model exists and does something else."""

    reason = "WRONG_MODEL_KIND"


class InvalidMedia(ServiceError):
    """A picture, a sound or a file cannot be decoded or is over a limit."""

    reason = "INVALID_MEDIA"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class ModelNotFound(ServiceError):
    """This replica does not serve the model."""

    reason = "MODEL_NOT_FOUND"


class PayloadTooLarge(ServiceError):
    """The request, or the answer to it, is over a limit."""

    reason = "PAYLOAD_TOO_LARGE"


class Overloaded(ServiceError):
    """The queue is full. `retry_after_s`: when a place is likely to be free, in seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelLoading(ServiceError):
    """The model is not ready yet. `retry_after_s`: when to ask again, in seconds."""

    reason = "MODEL_LOADING"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineUnavailable(ServiceError):
    """The engine has died, or the service is draining; another replica may answer."""

    reason = "ENGINE_UNAVAILABLE"
