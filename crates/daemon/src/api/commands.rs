//! `POST /v1/commands`, and how failures become answers.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use types::{Command, CommandReply, Failure, FailureKind};

use crate::{commands, core::Core, failure::user};

/// The most bytes of a request: a message of the longest kind, with every byte escaped.
pub(super) const MAX_BODY: usize = 6 * commands::send::MAX_TEXT + (16 << 10);

/// A failure with its status.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub failure: Failure,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind {
            FailureKind::User | FailureKind::Task => StatusCode::BAD_REQUEST,
            FailureKind::Config => StatusCode::UNPROCESSABLE_ENTITY,
            FailureKind::Network | FailureKind::Sandbox => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, failure }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.failure)).into_response()
    }
}

/// Carries out one command.
pub(super) async fn command(
    State(core): State<Arc<Core>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CommandReply>, Refused> {
    let body = body.map_err(|rejection| {
        let failure = user("the request is too large or broke off", "a message may have 64 KiB");
        Refused { status: rejection.status(), failure }
    })?;
    let text = std::str::from_utf8(&body).map_err(|error| {
        user(format!("byte {} of the request is not valid UTF-8", error.valid_up_to()), "send UTF-8")
    })?;
    let command: Command = serde_json::from_str(text)
        .map_err(|error| user(format!("the command is malformed: {error}"), "see `Command` in the API's schema"))?;
    if core.phases.stopping.is_cancelled() {
        return Err(crate::failure::network("the daemon is stopping", "try again when it runs").into());
    }
    Ok(Json(commands::execute(&core, command).await?))
}
