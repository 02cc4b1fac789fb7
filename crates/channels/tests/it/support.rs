//! A Telegram channel that speaks with a double.

use std::{error::Error, sync::Arc, time::Duration};

use channels::{
    Channel, ChannelStatus, Delivered, Inbound, InboundKind, ReceiveEnd, TelegramChannel,
    telegram::{Config, Streaming},
};
use egress::{SecretValue, Vault};
use tempfile::TempDir;
use testkit::telegram::TelegramServer;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use types::SecretName;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub const OWNER: i64 = 1001;
pub const SOON: Duration = Duration::from_secs(10);

/// A vault in a home of its own.
pub struct Home {
    _directory: TempDir,
    pub vault: Vault,
}

pub fn home(token: Option<&str>) -> Outcome<Home> {
    let directory = tempfile::tempdir()?;
    let vault = Vault::open(directory.path())?;
    if let Some(token) = token {
        vault.set(&SecretName::new("telegram-token")?, SecretValue::new(token)?, types::Timestamp(0))?;
    }
    Ok(Home { _directory: directory, vault })
}

pub fn config(api_base: &str) -> Outcome<Config> {
    Ok(Config {
        token: SecretName::new("telegram-token")?,
        allow: vec![OWNER],
        api_base: api_base.to_owned(),
        poll_timeout_s: 1,
        stream: Streaming::Drafts,
    })
}

/// A channel with the right token.
pub fn channel(server: &TelegramServer) -> Outcome<(Arc<TelegramChannel>, Home)> {
    let home = home(Some(server.token()))?;
    let channel = TelegramChannel::new("home", config(&server.base_url())?, home.vault.clone())?;
    Ok((Arc::new(channel), home))
}

/// A running receive loop.
pub struct Receiving {
    pub channel: Arc<TelegramChannel>,
    pub inbound: mpsc::Receiver<Delivered<Inbound>>,
    cancel: CancellationToken,
    tasks: JoinSet<ReceiveEnd>,
}

impl Receiving {
    pub fn start(channel: &Arc<TelegramChannel>) -> Self {
        let (to, inbound) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(channel.clone().receive(to, None, cancel.clone()));
        Self { channel: channel.clone(), inbound, cancel, tasks }
    }

    /// The next thing received, not yet confirmed.
    pub async fn next(&mut self) -> Outcome<Delivered<Inbound>> {
        Ok(timeout(SOON, self.inbound.recv()).await?.ok_or("the receive loop has ended")?)
    }

    /// The text of the next thing received, confirmed.
    pub async fn next_text(&mut self) -> Outcome<String> {
        let Delivered { item, ack } = self.next().await?;
        ack.confirm();
        match item.kind {
            InboundKind::Text { text } => Ok(text),
            other => Err(format!("{other:?} is not a text").into()),
        }
    }

    pub async fn end(&mut self) -> Outcome<ReceiveEnd> {
        Ok(timeout(SOON, self.tasks.join_next()).await?.ok_or("it has ended already")??)
    }

    pub async fn stop(mut self) -> Outcome {
        self.cancel.cancel();
        assert_eq!(self.end().await?, ReceiveEnd::Cancelled);
        Ok(())
    }

    /// Waits until the status is as wanted.
    pub async fn status(&self, wanted: impl Fn(&ChannelStatus) -> bool) -> Outcome<ChannelStatus> {
        for _ in 0..1000 {
            let status = self.channel.status();
            if wanted(&status) {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the status stayed {:?}", self.channel.status()).into())
    }
}
