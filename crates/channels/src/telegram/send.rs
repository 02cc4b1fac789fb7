//! One attempt to send, with the two second tries that cost nothing: plain text when the server does not accept our
//! markup, and none at all for an edit that changes nothing.

use std::{sync::atomic::Ordering, time::Duration};

use egress::EgressErrorKind;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    ChannelError, ChannelErrorKind, Outbound, RemoteId,
    telegram::{
        TelegramChannel,
        client::CallError,
        pacing::Weight,
        render::{Call, render},
    },
};

/// How long an answer to a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What to wait when the server says "too many" without saying how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn send(
    channel: &TelegramChannel,
    target: &str,
    outbound: Outbound,
    cancel: CancellationToken,
) -> Result<RemoteId, ChannelError> {
    let chat: i64 = target.parse().map_err(|_| {
        ChannelError::new(ChannelErrorKind::Permanent, "the target is not the number of a Telegram chat")
    })?;
    if matches!(outbound, Outbound::Draft { .. }) && (chat <= 0 || channel.without_drafts.load(Ordering::Relaxed)) {
        return Err(no_drafts());
    }
    let Some(call) = render(chat, &outbound)? else { return Ok(RemoteId(String::new())) };
    channel.pacing.turn(chat, weight(&outbound), &cancel).await?;
    let answer = attempt(channel, &call, &cancel).await;
    match (answer, outbound) {
        (Ok(result), Outbound::Text { .. } | Outbound::Buttons { .. }) => sent_id(&result),
        (Ok(_), Outbound::Edit { remote_id, .. }) => Ok(remote_id),
        (Ok(_), Outbound::Draft { .. } | Outbound::Typing | Outbound::AnswerButton { .. }) => {
            Ok(RemoteId(String::new()))
        }
        (Err(error), Outbound::Edit { remote_id, .. }) if error.says(400, "message is not modified") => Ok(remote_id),
        (Err(error), Outbound::Draft { .. }) if error.knows_no_drafts() => {
            channel.without_drafts.store(true, Ordering::Relaxed);
            Err(no_drafts())
        }
        (Err(error), _) => {
            let error = classify(&error);
            if let ChannelErrorKind::RateLimited { retry_after } = error.kind {
                channel.pacing.block(chat, retry_after);
            }
            Err(error)
        }
    }
}

fn weight(outbound: &Outbound) -> Weight {
    match outbound {
        Outbound::Text { .. } | Outbound::Buttons { .. } | Outbound::Edit { .. } => Weight::Message,
        Outbound::Draft { .. } | Outbound::Typing | Outbound::AnswerButton { .. } => Weight::Passing,
    }
}

async fn attempt(channel: &TelegramChannel, call: &Call, cancel: &CancellationToken) -> Result<Value, CallError> {
    let answer = channel.api.call(call.method, &call.body, CALL_TIMEOUT, cancel).await;
    match (&answer, &call.plain) {
        (Err(error), Some(plain)) if error.says(400, "can't parse entities") => {
            tracing::warn!(%error, "Telegram did not accept the markup of a message; sending it as plain text");
            channel.api.call(call.method, plain, CALL_TIMEOUT, cancel).await
        }
        _ => answer,
    }
}

fn sent_id(result: &Value) -> Result<RemoteId, ChannelError> {
    let id = result.get("message_id").and_then(Value::as_i64);
    id.map(|id| RemoteId(id.to_string())).ok_or_else(|| {
        let message = "Telegram took the message and did not say its number";
        ChannelError::new(ChannelErrorKind::Transient, message).maybe_sent()
    })
}

fn no_drafts() -> ChannelError {
    ChannelError::new(ChannelErrorKind::Unsupported, "drafts are not possible in this chat or with this server")
}

impl CallError {
    /// Whether the server refused with this code and these words.
    fn says(&self, expected: u16, words: &str) -> bool {
        match self {
            Self::Refused { code, description, .. } => {
                *code == expected && description.to_ascii_lowercase().contains(words)
            }
            Self::Transport(_) | Self::Malformed => false,
        }
    }

    /// Older servers do not know the method; some chats cannot have drafts.
    fn knows_no_drafts(&self) -> bool {
        self.says(404, "") || self.says(400, "method") || self.says(400, "textdraft_peer_invalid")
    }
}

fn classify(error: &CallError) -> ChannelError {
    let kind = match error {
        CallError::Refused { code: 429, retry_after, .. } => {
            ChannelErrorKind::RateLimited { retry_after: retry_after.unwrap_or(DEFAULT_RETRY_AFTER) }
        }
        // The server says 404 for a token that cannot be one, as the methods used here exist.
        CallError::Refused { code: 401 | 404, .. } => ChannelErrorKind::Auth,
        CallError::Refused { code, .. } if (400..500).contains(code) => ChannelErrorKind::Permanent,
        CallError::Refused { .. } | CallError::Malformed => ChannelErrorKind::Transient,
        CallError::Transport(error) => match error.kind {
            EgressErrorKind::Cancelled => ChannelErrorKind::Cancelled,
            EgressErrorKind::Secret => ChannelErrorKind::Auth,
            EgressErrorKind::Invalid => ChannelErrorKind::Permanent,
            EgressErrorKind::Connect
            | EgressErrorKind::Timeout
            | EgressErrorKind::Tls
            | EgressErrorKind::Closed
            | EgressErrorKind::TooLarge
            | EgressErrorKind::Malformed => ChannelErrorKind::Transient,
        },
    };
    ChannelError { kind, message: error.to_string(), maybe_sent: error.may_have_worked() }
}
