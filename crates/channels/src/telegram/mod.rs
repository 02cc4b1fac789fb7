//! Telegram by its Bot API.

mod config;

use std::sync::Arc;

use egress::Vault;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ChannelId};

pub use config::{Config, ConfigError, Streaming};

use crate::{Channel, ChannelError, ChannelStatus, Delivered, Inbound, Limits, Outbound, ReceiveEnd, RemoteId};

/// A Telegram bot.
pub struct TelegramChannel {
    id: ChannelId,
    limits: Limits,
}

impl TelegramChannel {
    /// The channel `telegram/{name}`.
    pub fn new(name: &str, config: Config, vault: Vault) -> Result<Self, ConfigError> {
        let _ = (name, config, vault);
        todo!()
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
        todo!()
    }

    fn receive(
        self: Arc<Self>,
        _to: mpsc::Sender<Delivered<Inbound>>,
        _cursor: Option<String>,
        _cancel: CancellationToken,
    ) -> BoxFuture<'static, ReceiveEnd> {
        todo!()
    }

    fn send<'a>(
        &'a self,
        _target: &'a str,
        _outbound: Outbound,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<RemoteId, ChannelError>> {
        todo!()
    }
}
