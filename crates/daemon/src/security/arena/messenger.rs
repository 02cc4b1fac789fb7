//! The messenger of the arena: it records what would be sent, and brings what an attacker sends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use channels::{
    Ack, Channel, ChannelError, ChannelStatus, Delivered, Inbound, InboundKind, Limits, Outbound, Polling, ReceiveEnd,
    RemoteId, Sender, TextUnit,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ChannelId};

/// How long taking one message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most messages that are kept.
const MAX_SENT: usize = 1_000;

/// A messenger without a wire.
pub(in crate::security) struct Messenger {
    id: ChannelId,
    limits: Limits,
    sent: Mutex<Vec<(String, Outbound)>>,
    inbound: Mutex<Option<mpsc::Receiver<Delivered<Inbound>>>>,
    push: mpsc::Sender<Delivered<Inbound>>,
}

impl Messenger {
    /// A messenger on which nothing was said yet.
    pub fn new() -> Arc<Self> {
        let limits = Limits {
            max_text: 4_096,
            unit: TextUnit::Utf16,
            edits: false,
            drafts: false,
            buttons: true,
            min_edit_interval: Duration::from_secs(1),
            min_draft_interval: Duration::from_secs(1),
            typing_every: None,
        };
        let (push, inbound) = mpsc::channel(16);
        let (id, inbound) = (ChannelId::new("arena", "audit"), Mutex::new(Some(inbound)));
        Arc::new(Self { id, limits, sent: Mutex::default(), inbound, push })
    }

    /// To whom something was sent, in order.
    pub fn sent(&self) -> Vec<(String, Outbound)> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something arrives; returns when the daemon has taken it.
    pub async fn bring(&self, item: Inbound) -> Result<(), String> {
        let (ack, confirmed) = Ack::new();
        let gone = |_| "the daemon takes no messages".to_owned();
        self.push.send(Delivered { item, ack }).await.map_err(|_| "the daemon takes no messages".to_owned())?;
        let taken = tokio::time::timeout(PATIENCE, confirmed).await;
        taken.map_err(|_| "a message was not taken in time".to_owned())?.map_err(gone)
    }
}

/// A message of a user whose display name is the owner's.
pub(in crate::security) fn message(number: u32, user: &str, kind: InboundKind) -> Inbound {
    Inbound {
        remote_id: number.to_string(),
        sender: Sender { user: user.to_owned(), name: super::OWNER.to_owned() },
        chat: user.to_owned(),
        private: true,
        kind,
        edited: false,
        forwarded: false,
        from_bot: false,
    }
}

impl Channel for Messenger {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn status(&self) -> ChannelStatus {
        ChannelStatus { polling: Polling::Receiving, account: None, last_success: None, last_error: None, rebuilt: 0 }
    }

    fn receive(
        self: Arc<Self>,
        to: mpsc::Sender<Delivered<Inbound>>,
        _cursor: Option<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, ReceiveEnd> {
        let inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            let Some(mut inbound) = inbound else { return ReceiveEnd::Closed };
            loop {
                let item = tokio::select! {
                    () = cancel.cancelled() => return ReceiveEnd::Cancelled,
                    item = inbound.recv() => item,
                };
                let Some(item) = item else { return ReceiveEnd::Closed };
                if to.send(item).await.is_err() {
                    return ReceiveEnd::Closed;
                }
            }
        })
    }

    fn send<'a>(
        &'a self,
        target: &'a str,
        outbound: Outbound,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<RemoteId, ChannelError>> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() < MAX_SENT {
            sent.push((target.to_owned(), outbound));
        }
        let id = RemoteId(sent.len().to_string());
        Box::pin(async move { Ok(id) })
    }
}
