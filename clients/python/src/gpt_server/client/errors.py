"""How a call fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from gpt_server.common.v1.error_pb2 import ERROR_REASON_UNSPECIFIED, ErrorReason

DOMAIN = "gpt-server"


class GPTServerError(Exception):
    """A call has failed.

    Attributes:
        code: gRPC's status code.
        reason: why, as the service says; `ERROR_REASON_UNSPECIFIED` where gRPC itself has failed, for example because
            the deadline has passed or nobody listens at the address.
        field: path of the field that is at fault, such as `sampling.temperature`; empty if there is none.
        retry_after_s: how long to wait before the call is made again, in seconds; `None`: not said.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode,
        reason: "ErrorReason.ValueType" = ERROR_REASON_UNSPECIFIED,
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.field = field
        self.retry_after_s = retry_after_s


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of gRPC that leave the block into `GPTServerError`."""
    try:
        yield
    except grpc.RpcError as error:
        raise _read(error) from None


def unfinished() -> GPTServerError:
    """The error of a stream that ended before its `finished`."""
    return GPTServerError("the stream ended before it was finished", grpc.StatusCode.INTERNAL)


def _read(call: Any) -> GPTServerError:
    error = GPTServerError(call.details() or "", call.code())
    status = rpc_status.from_call(call)
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info) and info.domain == DOMAIN:
            error.reason = dict(ErrorReason.items()).get(f"ERROR_REASON_{info.reason}", ERROR_REASON_UNSPECIFIED)
        elif detail.Unpack(bad) and bad.field_violations:
            error.field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            error.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    return error
