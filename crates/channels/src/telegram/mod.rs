//! Telegram by its Bot API: long polling in `receive`, wire to [`Inbound`] in `parse`, [`Outbound`] to wire in
//! `render`. The token is put into requests by `egress` and is never seen here.

mod client;
mod config;
mod liveness;
mod pacing;
mod parse;
mod receive;
mod render;
mod send;
mod status;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use egress::Vault;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ChannelId};

use crate::{
    Channel, ChannelError, ChannelStatus, Delivered, Inbound, Limits, Outbound, ReceiveEnd, RemoteId, TextUnit,
};
use client::Api;
pub use config::{Config, ConfigError, Streaming};
use liveness::Liveness;
use pacing::Pacing;
pub use parse::parse;
pub use render::rendered;
use status::Status;

/// A Telegram bot.
pub struct TelegramChannel {
    id: ChannelId,
    limits: Limits,
    api: Api,
    /// How long one request for messages waits.
    poll_timeout: Duration,
    pacing: Pacing,
    status: Status,
    liveness: Liveness,
    /// Set once the server has said that it knows no drafts.
    without_drafts: AtomicBool,
}

impl TelegramChannel {
    /// The channel `telegram/{name}`. Nothing is sent before [`Channel::receive`] or [`Channel::send`].
    pub fn new(name: &str, config: Config, vault: Vault) -> Result<Self, ConfigError> {
        config.check()?;
        let poll_timeout = Duration::from_secs(config.poll_timeout_s);
        Ok(Self {
            id: ChannelId::new("telegram", name),
            limits: limits(config.stream),
            api: Api::new(&config.api_base, config.token, vault)
                .map_err(|error| ConfigError::ApiBase { why: error.message })?,
            poll_timeout,
            pacing: Pacing::default(),
            status: Status::default(),
            liveness: Liveness::new(),
            without_drafts: AtomicBool::new(false),
        })
    }
}

fn limits(stream: Streaming) -> Limits {
    Limits {
        max_text: 4096,
        unit: TextUnit::Utf16,
        edits: match stream {
            Streaming::Drafts | Streaming::Edits => true,
            Streaming::Off => false,
        },
        drafts: match stream {
            Streaming::Drafts => true,
            Streaming::Edits | Streaming::Off => false,
        },
        buttons: true,
        min_edit_interval: Duration::from_millis(1500),
        min_draft_interval: Duration::from_millis(400),
        // The sign vanishes after five seconds.
        typing_every: Some(Duration::from_secs(4)),
    }
}

impl Channel for TelegramChannel {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn status(&self) -> ChannelStatus {
        self.status.read()
    }

    /// Telegram keeps the place itself, so the cursor is not used: a place that was kept here could belong to another
    /// bot, and asking from it would make the server forget messages that nobody has seen.
    fn receive(
        self: Arc<Self>,
        to: mpsc::Sender<Delivered<Inbound>>,
        _cursor: Option<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, ReceiveEnd> {
        Box::pin(async move { receive::run(&self, &to, &cancel).await })
    }

    fn send<'a>(
        &'a self,
        target: &'a str,
        outbound: Outbound,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<RemoteId, ChannelError>> {
        Box::pin(send::send(self, target, outbound, cancel))
    }
}
