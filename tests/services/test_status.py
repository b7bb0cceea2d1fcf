"""Every error has its code and its details; the table, the enum and the classes agree."""

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gpt_server.common.v1 import error_pb2
from gpt_server.services.common import errors, status
from gpt_server.services.common.status import CODES, to_status

ERRORS: list[tuple[errors.ServiceError, str, set[type]]] = [
    (errors.InvalidField("a.b", "no"), "INVALID_ARGUMENT", {BadRequest}),
    (errors.ContextLengthExceeded(1, 2), "INVALID_ARGUMENT", set()),
    (errors.UnsupportedFeature("a.b", "no"), "UNIMPLEMENTED", {BadRequest}),
    (errors.WrongModelKind("no"), "INVALID_ARGUMENT", set()),
    (errors.InvalidMedia("a.b", "no"), "INVALID_ARGUMENT", {BadRequest}),
    (errors.ModelNotFound("no"), "NOT_FOUND", set()),
    (errors.PayloadTooLarge("no"), "RESOURCE_EXHAUSTED", set()),
    (errors.Overloaded("no", 1.5), "RESOURCE_EXHAUSTED", {RetryInfo}),
    (errors.ModelLoading("no", 5), "UNAVAILABLE", {RetryInfo}),
    (errors.EngineUnavailable("no"), "UNAVAILABLE", set()),
    (status.Internal("no"), "INTERNAL", set()),
]


def details_of(error: errors.ServiceError) -> tuple[Status, dict[type, object]]:
    """The status that travels, and its details by kind."""
    sent = to_status(error)
    rich = Status.FromString(dict(sent.trailing_metadata)["grpc-status-details-bin"])
    found: dict[type, object] = {}
    for packed in rich.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            detail = kind()
            if packed.Unpack(detail):
                found[kind] = detail
    return rich, found


def test_table_enum_and_classes_agree() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    classes = {error.reason for error, _, _ in ERRORS}
    assert reasons == set(CODES) == classes
    assert len(ERRORS) == len(reasons)
    assert {type(error) for error, _, _ in ERRORS} == set(errors.ServiceError.__subclasses__())


@pytest.mark.parametrize(("error", "code", "further"), ERRORS, ids=lambda part: getattr(part, "reason", ""))
def test_code_and_details(error: errors.ServiceError, code: str, further: set[type]) -> None:
    rich, found = details_of(error)
    assert to_status(error).code.name == code
    assert rich.message == str(error)
    assert set(found) == {ErrorInfo, *further}
    assert found[ErrorInfo] == ErrorInfo(reason=error.reason, domain="gpt-server")


def test_details_say_what_the_error_says() -> None:
    _, found = details_of(errors.InvalidField("sampling.top_p", "must be less"))
    violation = BadRequest.FieldViolation(field="sampling.top_p", description="must be less")
    assert found[BadRequest] == BadRequest(field_violations=[violation])
    _, found = details_of(errors.Overloaded("no", 1.5))
    delay = found[RetryInfo]
    assert isinstance(delay, RetryInfo)
    assert delay.retry_delay.ToMilliseconds() == 1500


def test_a_status_stays_below_the_limit_for_metadata() -> None:
    sent = to_status(errors.InvalidField("stop", "語" * 100_000))
    assert len(dict(sent.trailing_metadata)["grpc-status-details-bin"]) * 4 / 3 + 3 * len(sent.details.encode()) < 8000
    assert sent.details.endswith("語…")
