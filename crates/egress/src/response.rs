//! One answer, read in pieces, with a bound on its size and on every wait.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{EgressError, EgressErrorKind, client::Endpoint};

/// An answer whose head has come. Dropping it closes the connection.
pub struct Response {
    inner: reqwest::Response,
    left: u64,
    deadline: Instant,
    idle: Duration,
    cancel: CancellationToken,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Response {
    pub(crate) fn new(
        inner: reqwest::Response,
        endpoint: &Endpoint,
        deadline: Instant,
        idle: Duration,
        cancel: CancellationToken,
    ) -> Self {
        Self { inner, left: endpoint.max_body_bytes, deadline, idle, cancel }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        self.inner.status().is_success()
    }

    /// A header's value, if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; none at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let until = self.deadline.min(Instant::now() + self.idle);
        let piece = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(EgressError::cancelled()),
            piece = timeout_at(until, self.inner.chunk()) => piece,
        };
        match piece {
            Ok(Ok(Some(bytes))) => {
                self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                let message = EgressError::from_http(error).message;
                Err(EgressError::new(EgressErrorKind::Closed, message))
            }
            Err(_) => Err(EgressError::new(EgressErrorKind::Timeout, "the answer stopped coming")),
        }
    }

    /// The whole body, of at most `max_bytes`.
    pub async fn bytes_limited(mut self, max_bytes: u64) -> Result<Vec<u8>, EgressError> {
        self.left = self.left.min(max_bytes);
        let mut body = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// The whole body as JSON, of at most `max_bytes`.
    pub async fn json_limited<T: DeserializeOwned>(self, max_bytes: u64) -> Result<T, EgressError> {
        let body = self.bytes_limited(max_bytes).await?;
        // The position alone: the text of the error may repeat the body.
        serde_json::from_slice(&body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            EgressError::new(EgressErrorKind::Malformed, format!("the answer is not the expected JSON at {place}"))
        })
    }

    /// The whole body as text, of at most `max_bytes`; what is not UTF-8 is replaced.
    pub async fn text_limited(self, max_bytes: u64) -> Result<String, EgressError> {
        Ok(String::from_utf8_lossy(&self.bytes_limited(max_bytes).await?).into_owned())
    }

    /// As much of the body's beginning as comes, at most `max_bytes`: for the text of an error, which is better
    /// incomplete than absent.
    pub async fn text_prefix(mut self, max_bytes: usize) -> String {
        let mut body = Vec::new();
        while body.len() < max_bytes {
            match self.chunk().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(max_bytes);
        String::from_utf8_lossy(&body).into_owned()
    }
}

fn too_large() -> EgressError {
    EgressError::new(EgressErrorKind::TooLarge, "the answer is larger than allowed")
}
