"""The error table is whole, and every failure of a call becomes what it says."""

from typing import Any

import grpc
import orjson
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError, Metadata

from gpt_server.common.v1 import error_pb2
from gpt_server.edge.errors import BARE_CODES, KINDS, ApiError, error_response, from_rpc

# ARCHITECTURE.md, "Errors": one table each side, one proto enum between them.
EXPECTED = {
    "INVALID_FIELD": ("INVALID_ARGUMENT", 400, "invalid_request_error", "invalid_value"),
    "CONTEXT_LENGTH_EXCEEDED": ("INVALID_ARGUMENT", 400, "invalid_request_error", "context_length_exceeded"),
    "UNSUPPORTED_FEATURE": ("UNIMPLEMENTED", 400, "invalid_request_error", "unsupported_parameter"),
    "WRONG_MODEL_KIND": ("INVALID_ARGUMENT", 400, "invalid_request_error", "wrong_model_kind"),
    "INVALID_MEDIA": ("INVALID_ARGUMENT", 400, "invalid_request_error", "invalid_media"),
    "MODEL_NOT_FOUND": ("NOT_FOUND", 404, "invalid_request_error", "model_not_found"),
    "PAYLOAD_TOO_LARGE": ("RESOURCE_EXHAUSTED", 413, "invalid_request_error", "payload_too_large"),
    "OVERLOADED": ("RESOURCE_EXHAUSTED", 429, "rate_limit_error", "overloaded"),
    "MODEL_LOADING": ("UNAVAILABLE", 503, "server_error", "model_loading"),
    "ENGINE_UNAVAILABLE": ("UNAVAILABLE", 503, "server_error", "engine_unavailable"),
    "INTERNAL": ("INTERNAL", 500, "server_error", None),
}


def failure(code: str, message: str = "told", *details: Any) -> AioRpcError:
    """A failed call with a rich status, or a bare one without details."""
    status = Status(code=grpc.StatusCode[code].value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = Metadata(("grpc-status-details-bin", status.SerializeToString())) if details else Metadata()
    return AioRpcError(grpc.StatusCode[code], Metadata(), trailing, message, None)


def info(reason: str) -> ErrorInfo:
    """The detail that all our statuses have."""
    return ErrorInfo(reason=reason, domain="gpt-server")


def test_the_table_has_every_reason() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert reasons == EXPECTED.keys()
    assert reasons < KINDS.keys()


@pytest.mark.parametrize("reason", list(EXPECTED))
def test_each_reason(reason: str) -> None:
    code, status, kind, openai_code = EXPECTED[reason]
    error = from_rpc(failure(code, "told", info(reason)), lambda field: field)
    response = error_response(error)
    document = orjson.loads(bytes(response.body))["error"]
    assert (response.status_code, document["type"], document["code"]) == (status, kind, openai_code)
    assert document.keys() == {"message", "type", "param", "code"}
    assert (document["message"] == "told") == (reason != "INTERNAL")
    assert ("retry-after" in response.headers) == (status in (429, 503))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_codes_of_grpc_itself_never_show_their_text(code: grpc.StatusCode) -> None:
    error = from_rpc(failure(code.name, "connect to 10.0.0.7:4711 failed"), lambda field: field)
    assert "10.0.0.7" not in str(error)
    expected = {
        "UNAVAILABLE": 503,
        "CANCELLED": 503,
        "DEADLINE_EXCEEDED": 504,
        "RESOURCE_EXHAUSTED": 413,
        "UNAUTHENTICATED": 502,
        "PERMISSION_DENIED": 502,
    }
    assert error.kind.status == expected.get(code.name, 500)
    assert {code.name for code in BARE_CODES} == expected.keys()


@pytest.mark.parametrize("detail", [ErrorInfo(reason="OVERLOADED", domain="elsewhere"), info("NO_SUCH_REASON")])
def test_a_reason_that_is_not_ours(detail: ErrorInfo) -> None:
    assert from_rpc(failure("INTERNAL", "secret", detail), lambda field: field).reason == "INTERNAL"


@pytest.mark.parametrize(("delay_s", "header"), [(None, "1"), (0.2, "1"), (1.2, "2"), (7, "7"), (3600, "60")])
@pytest.mark.parametrize("reason", ["OVERLOADED", "MODEL_LOADING"])
def test_retry_after_is_1_to_60_seconds(reason: str, delay_s: float | None, header: str) -> None:
    details: list[Any] = [info(reason)]
    if delay_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(delay_s * 1000))
        details.append(RetryInfo(retry_delay=delay))
    error = from_rpc(failure(EXPECTED[reason][0], "full", *details), lambda field: field)
    assert error_response(error).headers["retry-after"] == header


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("INVALID_FIELD", "Invalid value for 'max_tokens': must be at least 1"),
        ("UNSUPPORTED_FEATURE", "Unsupported parameter 'max_tokens': must be at least 1"),
        ("INVALID_MEDIA", "Invalid media in 'max_tokens': must be at least 1"),
    ],
)
def test_the_field_is_named_as_the_caller_wrote_it(reason: str, message: str) -> None:
    violation = BadRequest.FieldViolation(field="sampling.max_tokens", description="must be at least 1")
    rpc = failure(EXPECTED[reason][0], "must be at least 1", info(reason), BadRequest(field_violations=[violation]))
    error = from_rpc(rpc, {"sampling.max_tokens": "max_tokens"}.get)
    assert (error.param, str(error)) == ("max_tokens", message)
    unknown = from_rpc(rpc, lambda field: None)
    assert (unknown.param, str(unknown)) == (None, "must be at least 1")


@pytest.mark.parametrize("reason", ["BAD_GATEWAY", "TIMEOUT"])
def test_what_is_not_worth_repeating_says_so(reason: str) -> None:
    assert error_response(ApiError(reason, "no")).headers["x-should-retry"] == "false"


def test_the_401_says_how_to_authenticate() -> None:
    assert error_response(ApiError("INVALID_API_KEY", "no")).headers["www-authenticate"] == "Bearer"
