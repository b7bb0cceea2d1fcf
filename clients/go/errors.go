package gptserver

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	commonv1 "gpt-server/clients/go/gen/gpt_server/common/v1"
)

const errorDomain = "gpt-server"

// Error is how a call fails. Find it with errors.As.
type Error struct {
	// Code is gRPC's status code.
	Code codes.Code
	// Reason is why, as the service says; ERROR_REASON_UNSPECIFIED where gRPC itself has failed, for example because
	// the deadline has passed or nobody listens at the address.
	Reason commonv1.ErrorReason
	// Field is the path of the field that is at fault, such as sampling.temperature; empty if there is none.
	Field string
	// Message is for people.
	Message string
	// RetryAfter is how long to wait before the call is made again; 0 if it is not said.
	RetryAfter time.Duration

	cause error
}

// Error returns the message, with what it is about.
func (e *Error) Error() string {
	if e.Reason == commonv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return fmt.Sprintf("%v: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%v %v: %s", e.Code, e.Reason, e.Message)
}

// Unwrap returns gRPC's error.
func (e *Error) Unwrap() error { return e.cause }

// AsError returns err, an error of a generated stub, as *Error. It leaves nil, and what is no status, as it is.
func AsError(err error) error {
	var known *Error
	found, ok := status.FromError(err)
	if err == nil || !ok || errors.As(err, &known) {
		return err
	}
	read := &Error{Code: found.Code(), Message: found.Message(), cause: err}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == errorDomain {
				read.Reason = commonv1.ErrorReason(commonv1.ErrorReason_value["ERROR_REASON_"+detail.Reason])
			}
		case *errdetails.BadRequest:
			if len(detail.FieldViolations) > 0 {
				read.Field = detail.FieldViolations[0].Field
			}
		case *errdetails.RetryInfo:
			read.RetryAfter = detail.RetryDelay.AsDuration()
		}
	}
	return read
}

func unfinished() error {
	return &Error{Code: codes.Internal, Message: "the stream ended before it was finished"}
}
