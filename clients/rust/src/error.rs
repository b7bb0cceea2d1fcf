//! How a call fails.

use std::{fmt, io, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::ErrorReason;

const DOMAIN: &str = "gpt-server";

/// A call has failed, or a file of the caller's could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The call has failed.
    Call(Box<Failure>),
    /// A file could not be read or written.
    Io(io::Error),
}

/// How a call has failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// gRPC's status code.
    pub code: Code,
    /// Why, as the service says; `Unspecified` where gRPC itself has failed, for example because the deadline has
    /// passed or nobody listens at the address.
    pub reason: ErrorReason,
    /// Path of the field that is at fault, such as `sampling.temperature`.
    pub field: Option<String>,
    /// For people.
    pub message: String,
    /// How long to wait before the call is made again, if the service says so.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// How the call has failed; `None` if it was a file.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Call(failure) => Some(failure),
            Error::Io(_) => None,
        }
    }

    pub(crate) fn unfinished() -> Self {
        Status::internal("the stream ended before it was finished").into()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let named = details.error_info().filter(|info| info.domain == DOMAIN);
        let reason = named.and_then(|info| ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)));
        let violation = details.bad_request().and_then(|bad| bad.field_violations.first());
        Error::Call(Box::new(Failure {
            code: status.code(),
            reason: reason.unwrap_or_default(),
            field: violation.map(|violation| violation.field.clone()),
            message: status.message().to_owned(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Call(failure) => write!(f, "{:?}: {}", failure.code, failure.message),
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}
