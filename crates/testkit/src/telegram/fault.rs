//! What the double can be told to do wrong.

use std::time::Duration;

/// Something that goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refuses without doing anything.
    Status {
        /// The HTTP status and error code.
        code: u16,
        /// The words.
        description: String,
        /// How many seconds the client is told to wait.
        retry_after: Option<u64>,
    },
    /// Answers 502 with a page that is not JSON, without doing anything.
    BadGateway,
    /// Does nothing and never answers.
    Hang,
    /// Does nothing and closes the connection.
    CloseBefore,
    /// Does it and closes the connection without an answer.
    CloseAfter,
    /// Does it and answers late.
    Slow(Duration),
    /// Does it and answers with JSON that breaks off.
    MalformedJson,
    /// Gives every update of the answer twice.
    DuplicateUpdates,
    /// Gives the updates of the answer in reverse order.
    ReverseUpdates,
}

impl Fault {
    /// A refusal as the real server words it.
    pub fn status(code: u16, description: &str) -> Self {
        Self::Status { code, description: description.to_owned(), retry_after: None }
    }

    /// Status 429.
    pub fn too_many_requests(retry_after: u64) -> Self {
        let description = format!("Too Many Requests: retry after {retry_after}");
        Self::Status { code: 429, description, retry_after: Some(retry_after) }
    }
}
