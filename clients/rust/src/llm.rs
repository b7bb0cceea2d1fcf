//! Text.

use std::time::Duration;

use crate::gpt_server::common::v1::{Part, part};
use crate::gpt_server::llm::v1::{GenerateRequest, GenerateResponse, Message, Role};
use crate::{Client, Error, Responses};

/// Returns what a user says, as a message of a chat.
pub fn user(text: impl Into<String>) -> Message {
    let content = vec![Part { content: Some(part::Content::Text(text.into())) }];
    Message { role: Role::User.into(), content, ..Message::default() }
}

/// A text while it is written. Dropping it cancels the call and ends the work.
pub struct Generation {
    responses: Responses<GenerateResponse>,
    finished: bool,
}

impl Generation {
    /// Returns what comes next: deltas of every choice, and at last a message with `finished`; `None` after that.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn next(&mut self) -> Result<Option<GenerateResponse>, Error> {
        let response = self.responses.next().await?;
        match &response {
            Some(response) => self.finished = response.finished.is_some(),
            None if !self.finished => return Err(Error::unfinished()),
            None => {}
        }
        Ok(response)
    }
}

impl Client {
    /// Continues a chat or a prompt. It returns when the service has accepted the request.
    ///
    /// # Errors
    ///
    /// The call has failed, or its deadline has passed.
    pub async fn generate(&self, request: GenerateRequest, timeout: Option<Duration>) -> Result<Generation, Error> {
        let mut llm = self.llm();
        let responses = Responses::open(request, timeout, |request| async move { llm.generate(request).await }).await?;
        Ok(Generation { responses, finished: false })
    }
}
