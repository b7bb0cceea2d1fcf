"""`ServiceError` -> `google.rpc.Status` (AIP-193): one table, one function."""

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from gpt_server.services.common.errors import ServiceError

DOMAIN = "gpt-server"

CODES: Mapping[str, int] = {
    "INVALID_FIELD": Code.INVALID_ARGUMENT,
    "CONTEXT_LENGTH_EXCEEDED": Code.INVALID_ARGUMENT,
    "UNSUPPORTED_FEATURE": Code.UNIMPLEMENTED,
    "WRONG_MODEL_KIND": Code.INVALID_ARGUMENT,
    "INVALID_MEDIA": Code.INVALID_ARGUMENT,
    "MODEL_NOT_FOUND": Code.NOT_FOUND,
    "PAYLOAD_TOO_LARGE": Code.RESOURCE_EXHAUSTED,
    "OVERLOADED": Code.RESOURCE_EXHAUSTED,
    "MODEL_LOADING": Code.UNAVAILABLE,
    "ENGINE_UNAVAILABLE": Code.UNAVAILABLE,
    "INTERNAL": Code.INTERNAL,
}
"""Code of each `gpt_server.common.v1.ErrorReason`."""


class Internal(ServiceError):
    """A fault of ours. What happened stands in the log under the request id, not in the message."""

    reason = "INTERNAL"


def to_status(error: ServiceError) -> grpc.Status:
    """Returns the status that ends a call: code, message, `ErrorInfo`, and the field and delay that it names."""
    message = _shortened(str(error))
    details = [_pack(ErrorInfo(reason=error.reason, domain=DOMAIN))]
    if error.field is not None:
        violation = BadRequest.FieldViolation(field=error.field, description=message)
        details.append(_pack(BadRequest(field_violations=[violation])))
    retry_after_s: float | None = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(_pack(RetryInfo(retry_delay=delay)))
    return rpc_status.to_status(Status(code=CODES[error.reason], message=message, details=details))


def _shortened(message: str, max_bytes: int = 1000) -> str:
    """A status travels as metadata, for which clients have 8 KiB; the message is in it up to three times."""
    encoded = message.encode()
    return message if len(encoded) <= max_bytes else encoded[:max_bytes].decode(errors="ignore") + "…"


def _pack(detail: ErrorInfo | BadRequest | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
