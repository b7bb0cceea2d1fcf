"""Failures as OpenAI's clients know them: one table from reasons to HTTP status, `type` and `code`.

Reasons of services are those of `gpt_server.common.v1.ErrorReason`, which arrive as `google.rpc.ErrorInfo`; the edge
adds its own. Follows the error table of ARCHITECTURE.md and the envelope of the OpenAI API reference.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import grpc
import orjson
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status
from pydantic import BaseModel
from starlette.responses import Response

DOMAIN = "gpt-server"
MAX_RETRY_AFTER_S = 60  # clients give up on, or sleep through, anything longer


@dataclass(frozen=True, slots=True)
class Kind:
    """How a reason looks over HTTP. `should_retry` overrules what the SDKs make of the status; `None` does not."""

    status: int
    type: str
    code: str | None
    should_retry: bool | None = None


KINDS: Mapping[str, Kind] = {
    # of services
    "INVALID_FIELD": Kind(400, "invalid_request_error", "invalid_value"),
    "CONTEXT_LENGTH_EXCEEDED": Kind(400, "invalid_request_error", "context_length_exceeded"),
    "UNSUPPORTED_FEATURE": Kind(400, "invalid_request_error", "unsupported_parameter"),
    "WRONG_MODEL_KIND": Kind(400, "invalid_request_error", "wrong_model_kind"),
    "INVALID_MEDIA": Kind(400, "invalid_request_error", "invalid_media"),
    "MODEL_NOT_FOUND": Kind(404, "invalid_request_error", "model_not_found"),
    "PAYLOAD_TOO_LARGE": Kind(413, "invalid_request_error", "payload_too_large"),
    "OVERLOADED": Kind(429, "rate_limit_error", "overloaded"),
    "MODEL_LOADING": Kind(503, "server_error", "model_loading"),
    "ENGINE_UNAVAILABLE": Kind(503, "server_error", "engine_unavailable"),
    "INTERNAL": Kind(500, "server_error", None),
    # of the edge
    "INVALID_REQUEST": Kind(400, "invalid_request_error", None),
    "INVALID_API_KEY": Kind(401, "invalid_request_error", "invalid_api_key"),
    "MODEL_NOT_ALLOWED": Kind(403, "invalid_request_error", "model_not_allowed"),
    "RATE_LIMIT_EXCEEDED": Kind(429, "rate_limit_error", "rate_limit_exceeded"),
    "UNKNOWN_URL": Kind(404, "invalid_request_error", "unknown_url"),
    "ROUTE_NOT_SERVED": Kind(404, "invalid_request_error", "route_not_served"),
    "METHOD_NOT_ALLOWED": Kind(405, "invalid_request_error", "method_not_allowed"),
    "BAD_GATEWAY": Kind(502, "server_error", "bad_gateway", should_retry=False),
    "TIMEOUT": Kind(504, "server_error", "timeout", should_retry=False),
}
"""Reason to its looks. `should_retry=False` where a repetition would only cost the same again."""

NAMING = {
    "INVALID_FIELD": "Invalid value for",
    "UNSUPPORTED_FEATURE": "Unsupported parameter",
    "INVALID_MEDIA": "Invalid media in",
}
"""How a message names the parameter at fault: the SDKs show the message and little else."""

BARE_CODES: Mapping[grpc.StatusCode, tuple[str, str]] = {
    grpc.StatusCode.UNAVAILABLE: ("ENGINE_UNAVAILABLE", "The model's service cannot be reached at the moment."),
    # The edge cancels only calls that nobody waits for; any other was cut off by a service that stops.
    grpc.StatusCode.CANCELLED: ("ENGINE_UNAVAILABLE", "The model's service is stopping."),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("TIMEOUT", "The request took longer than its time limit."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("PAYLOAD_TOO_LARGE", "The request is larger than the model's service allows."),
    grpc.StatusCode.UNAUTHENTICATED: ("BAD_GATEWAY", "The model's service does not accept this server's credentials."),
    grpc.StatusCode.PERMISSION_DENIED: (
        "BAD_GATEWAY",
        "The model's service does not accept this server's credentials.",
    ),
}
"""What a status code means that comes without our `ErrorInfo`: gRPC itself made it, and its text names addresses."""


class ApiError(Exception):
    """A request that cannot be answered. The message is written for the caller.

    Attributes:
        reason: a key of `KINDS`.
        param: path of the request's field that is at fault, as in OpenAI's API: `messages[0].content`.
        retry_after_s: when to try again, in seconds.
    """

    def __init__(
        self, reason: str, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def kind(self) -> Kind:
        """How it looks over HTTP."""
        return KINDS[self.reason]

    @property
    def body(self) -> bytes:
        """The JSON document `{"error": {...}}`, all four keys of it."""
        kind = self.kind
        error = {"message": str(self), "type": kind.type, "param": self.param, "code": kind.code}
        return orjson.dumps({"error": error})


class ErrorFields(BaseModel):
    """OpenAI's error object. All four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorDocument(BaseModel):
    """What every failed request is answered with."""

    error: ErrorFields


class ClientLeftError(Exception):
    """The caller closed the connection; nobody waits for an answer."""


def internal_error() -> ApiError:
    """Returns a fault of ours, whose cause stands in the log only."""
    return ApiError(
        "INTERNAL", "The server failed to answer. Its log has the cause under the x-request-id of this answer."
    )


def error_response(error: ApiError) -> Response:
    """Returns the error as a complete HTTP response."""
    kind = error.kind
    headers = {}
    if kind.status in (429, 503):
        seconds = math.ceil(error.retry_after_s or 1)
        headers["retry-after"] = str(min(max(seconds, 1), MAX_RETRY_AFTER_S))
    if kind.should_retry is not None:
        headers["x-should-retry"] = str(kind.should_retry).lower()
    if kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(error.body, kind.status, headers, media_type="application/json")


def from_rpc(error: grpc.aio.AioRpcError, to_param: Callable[[str], str | None]) -> ApiError:
    """Returns what a failed call means to the caller.

    Args:
        error: the call's status.
        to_param: turns the path of a field of the request message into that of OpenAI's parameter.
    """
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        for known in (info, bad_request, retry):
            detail.Unpack(known)
    if info.domain != DOMAIN or info.reason not in KINDS:
        reason, message = BARE_CODES.get(error.code(), ("INTERNAL", ""))
        return internal_error() if reason == "INTERNAL" else ApiError(reason, message)
    if info.reason == "INTERNAL":
        return internal_error()
    field = next((violation.field for violation in bad_request.field_violations), None)
    param = to_param(field) if field else "model" if info.reason in ("MODEL_NOT_FOUND", "WRONG_MODEL_KIND") else None
    message = error.details() or ""
    if param and info.reason in NAMING:
        message = f"{NAMING[info.reason]} '{param}': {message}"
    return ApiError(
        info.reason,
        message,
        param=param,
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() or None,
    )
