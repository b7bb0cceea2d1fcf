//! Streams that end at a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::{IntoRequest, Request, Response, Status, Streaming};

use crate::Error;

/// Messages of a call. Dropping it cancels the call.
pub struct Responses<T> {
    inner: Streaming<T>,
    deadline: Option<Instant>,
}

impl<T> Responses<T> {
    pub(crate) async fn open<R, F>(
        message: R,
        timeout: Option<Duration>,
        call: impl FnOnce(Request<R>) -> F,
    ) -> Result<Self, Error>
    where
        F: Future<Output = Result<Response<Streaming<T>>, Status>>,
    {
        let mut request = message.into_request();
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let inner = before(deadline, call(request)).await?.into_inner();
        Ok(Self { inner, deadline })
    }

    /// Returns the next message; `None` at the end.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        before(self.deadline, self.inner.message()).await
    }
}

/// Waits no longer than until the deadline: the service keeps to it too, but may not be there any more.
async fn before<T>(deadline: Option<Instant>, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
    let Some(deadline) = deadline else {
        return Ok(answer.await?);
    };
    let late = |_| Status::deadline_exceeded("the deadline has passed");
    Ok(timeout_at(deadline, answer).await.map_err(late)??)
}
