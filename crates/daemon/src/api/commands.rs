//! `POST /v1/commands`, and how failures become answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use types::{Command, CommandReply, Failure, FailureKind};

use crate::{commands, core::Core, failure::user};

/// The most bytes of a request: a message of the longest kind, with every byte escaped.
pub(super) const MAX_BODY: usize = 6 * commands::send::MAX_TEXT + (16 << 10);
/// How long a request may take to arrive.
const TO_ARRIVE: Duration = Duration::from_secs(30);

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
pub(super) async fn command(State(core): State<Arc<Core>>, request: Request) -> Result<Json<CommandReply>, Refused> {
    let body = whole(request).await?;
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

/// The body. One that trickles in would keep its connection, of which there are few, for as long as it likes.
async fn whole(request: Request) -> Result<Bytes, Refused> {
    let body = tokio::time::timeout(TO_ARRIVE, Bytes::from_request(request, &())).await.map_err(|_| {
        let error = format!("the request did not arrive within {} s", TO_ARRIVE.as_secs());
        let failure = user(error, "send it whole; a message may have 64 KiB");
        Refused { status: StatusCode::REQUEST_TIMEOUT, failure }
    })?;
    body.map_err(|rejection| {
        let failure = user("the request is too large or broke off", "a message may have 64 KiB");
        Refused { status: rejection.status(), failure }
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use axum::body::Body;
    use futures_util::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// A body of so many pieces, one each second.
    fn trickle(pieces: usize) -> Request {
        let body = stream::unfold(0, move |piece| async move {
            sleep(Duration::from_secs(1)).await;
            (piece < pieces).then_some((Ok::<_, Infallible>("x"), piece + 1))
        });
        Request::new(Body::from_stream(body))
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_trickles_in_is_given_up() {
        assert_eq!(whole(trickle(20)).await.unwrap().len(), 20);
        let begun = Instant::now();
        let refused = whole(trickle(usize::MAX)).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
        assert!(begun.elapsed() <= TO_ARRIVE + Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
