//! What can go wrong on the way out. Must never carry a URL, a header or a body: any of them may hold a secret.

use std::{error::Error, fmt, io};

use crate::VaultError;

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EgressErrorKind {
    /// The connection could not be made: wrong host, wrong port, nobody listens.
    Connect,
    /// Nothing came in time: no first byte, a gap between chunks that is too long, or the whole took too long.
    Timeout,
    /// The other side's certificate was not accepted, or this machine trusts none.
    Tls,
    /// The connection broke before the answer was whole.
    Closed,
    /// The answer is larger than allowed.
    TooLarge,
    /// The secret that the request needs is missing, unreadable or cannot be put where it belongs.
    Secret,
    /// The caller cancelled.
    Cancelled,
    /// The request could not be formed: a bad address, header or body.
    Invalid,
    /// The answer could not be understood.
    Malformed,
}

/// A request that failed. The text is safe to show and to log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EgressError {
    /// What kind of failure.
    pub kind: EgressErrorKind,
    /// A lowercase fragment saying what failed, why and, where somebody can act, what to do.
    pub message: String,
}

impl EgressError {
    pub(crate) fn new(kind: EgressErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(EgressErrorKind::Cancelled, "cancelled")
    }

    /// Sorts a failure of the HTTP library. Its URL is dropped, because a path may hold a secret.
    pub(crate) fn from_http(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let causes = Causes(&error).to_string();
        if error.is_builder() {
            return Self::new(EgressErrorKind::Invalid, format!("the request could not be formed: {causes}"));
        }
        if error.is_timeout() {
            return Self::new(EgressErrorKind::Timeout, "no connection was made in time");
        }
        if is_tls(&error) {
            return Self::new(EgressErrorKind::Tls, format!("the secure connection failed: {causes}"));
        }
        if error.is_connect() {
            return Self::new(EgressErrorKind::Connect, format!("could not connect: {causes}"));
        }
        Self::new(EgressErrorKind::Closed, format!("the connection broke: {causes}"))
    }
}

impl From<VaultError> for EgressError {
    fn from(error: VaultError) -> Self {
        Self::new(EgressErrorKind::Secret, error.to_string())
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    // The chain is a handful of wrappers deep; the bound guards against one that refers to itself.
    for _ in 0..16 {
        let Some(present) = cause else { return false };
        if present.is::<rustls::Error>() {
            return true;
        }
        // The source of an IO error is its content's source, so the content itself has to be looked at first.
        let content = present.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = content.map(|content| content as &(dyn Error + 'static)).or_else(|| present.source());
    }
    false
}

/// Prints the innermost cause of an error: the outer layers only repeat that sending failed.
struct Causes<'a>(&'a reqwest::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last: &dyn Error = self.0;
        for _ in 0..16 {
            match last.source() {
                Some(source) => last = source,
                None => break,
            }
        }
        fmt::Display::fmt(last, f)
    }
}
