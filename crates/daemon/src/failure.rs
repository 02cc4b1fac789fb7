//! How errors of this crate become what the API and the command line show.

use types::{Failure, FailureKind};

/// A failure that the user can act on.
pub(crate) fn user(error: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::User, error: error.into(), hint: Some(hint.into()) }
}

/// A failure of ours.
pub(crate) fn internal(error: impl std::fmt::Display) -> Failure {
    Failure { kind: FailureKind::Internal, error: error.to_string(), hint: Some("see the daemon's log".to_owned()) }
}

/// A failure to reach something.
pub(crate) fn network(error: impl std::fmt::Display, hint: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Network, error: error.to_string(), hint: Some(hint.into()) }
}

/// A failure of the store. Nothing is lost by it: what was not stored was not confirmed either.
pub(crate) fn stored(error: store::StoreError) -> Failure {
    let hint = error.hint();
    Failure { kind: FailureKind::Internal, error: error.to_string(), hint: Some(hint) }
}
