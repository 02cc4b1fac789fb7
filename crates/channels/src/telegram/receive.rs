//! The receive loop. Owns the place in the server's queue: it moves on only after everything before it is durable.
//! Nothing that may pass ends the loop.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use egress::EgressErrorKind;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Ack, Backoff, Delivered, Inbound, Polling, ReceiveEnd,
    retry::jittered,
    telegram::{TelegramChannel, client::CallError, parse::parse},
};

/// How much longer than the poll itself its answer may take.
const POLL_MARGIN: Duration = Duration::from_secs(10);
/// How long a short call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long handing over waits for room.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the confirmations of one batch may take together.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait that the server's word is taken for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// After so many failures in a row the connections are made anew.
const RENEW_AFTER: u32 = 3;
const BATCH: u32 = 100;

/// The bots that this process receives for, by address and id: two loops of one bot would end each other for ever.
static LEASES: Mutex<BTreeSet<(String, i64)>> = Mutex::new(BTreeSet::new());

struct Lease((String, i64));

impl Lease {
    fn take(base: &str, bot: i64) -> Option<Self> {
        let key = (base.trim_end_matches('/').to_owned(), bot);
        let is_free = LEASES.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        // Made only when it is ours: dropping it gives the place back.
        if is_free { Some(Self(key)) } else { None }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        LEASES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Receives until the end, building the loop anew when it is stuck.
pub(super) async fn run(
    channel: &TelegramChannel,
    to: &mpsc::Sender<Delivered<Inbound>>,
    cancel: &CancellationToken,
) -> ReceiveEnd {
    loop {
        channel.status.starting();
        channel.liveness.beat(CALL_TIMEOUT);
        let mut receiver = Receiver::new(channel, to, cancel);
        let end = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(ReceiveEnd::Cancelled),
            end = receiver.run() => Some(end),
            () = channel.liveness.broken() => None,
        };
        match end {
            None => {
                tracing::warn!(channel = %channel.id, "receiving was stuck and starts anew");
                channel.status.rebuilt();
                channel.api.renew();
            }
            Some(ReceiveEnd::Auth(why)) => {
                channel.status.disturbed(Polling::Refused, why.clone());
                tracing::error!(channel = %channel.id, "{why}");
                return ReceiveEnd::Auth(why);
            }
            Some(end @ (ReceiveEnd::Cancelled | ReceiveEnd::Closed)) => {
                channel.status.stopped();
                return end;
            }
        }
    }
}

/// Stands for the bot's number where the server does not tell it.
const NAMELESS: i64 = 0;

struct Receiver<'a> {
    channel: &'a TelegramChannel,
    to: &'a mpsc::Sender<Delivered<Inbound>>,
    cancel: &'a CancellationToken,
    backoff: Backoff,
    /// The next update to ask for; none until the server has given one.
    offset: Option<i64>,
    limit: u32,
    webhook_deleted: bool,
}

impl<'a> Receiver<'a> {
    fn new(
        channel: &'a TelegramChannel,
        to: &'a mpsc::Sender<Delivered<Inbound>>,
        cancel: &'a CancellationToken,
    ) -> Self {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        Self { channel, to, cancel, backoff, offset: None, limit: BATCH, webhook_deleted: false }
    }

    async fn run(&mut self) -> ReceiveEnd {
        let (bot, _lease) = match self.identify().await {
            Ok(identified) => identified,
            Err(end) => return end,
        };
        tracing::info!(channel = %self.channel.id, bot, "receiving from Telegram");
        loop {
            let polled = self.poll().await;
            let step = match polled {
                Ok(updates) => self.hand_over(updates).await,
                Err(error) => self.setback(error).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Asks who we are until the server answers, and makes sure that nobody else here receives for the same bot.
    async fn identify(&mut self) -> Result<(i64, Lease), ReceiveEnd> {
        loop {
            self.channel.liveness.beat(CALL_TIMEOUT);
            match self.bot().await {
                Ok(bot) => {
                    if let Some(lease) = Lease::take(self.channel.api.base(), bot) {
                        return Ok((bot, lease));
                    }
                    let error = "another channel of this agent receives for the same bot; remove one";
                    self.pause(Polling::Conflict, error.to_owned(), self.conflict_wait()).await?;
                }
                // The server's word for a token that cannot be one.
                Err(CallError::Refused { code: 404, .. }) => return Err(unauthorized()),
                Err(error) => self.setback(error).await?,
            }
        }
    }

    /// The bot's number. A server other than Telegram's own may lack the method that tells it and yet give updates.
    async fn bot(&self) -> Result<i64, CallError> {
        let me = match self.channel.api.call("getMe", &json!({}), CALL_TIMEOUT, self.cancel).await {
            Ok(me) => me,
            Err(CallError::Refused { code: 404, .. }) => {
                // Without an offset nothing is confirmed, so nothing is lost by this.
                let body = json!({ "timeout": 0, "limit": 1 });
                self.channel.api.call("getUpdates", &body, CALL_TIMEOUT, self.cancel).await?;
                return Ok(NAMELESS);
            }
            Err(error) => return Err(error),
        };
        let name = me.get("username").and_then(Value::as_str).unwrap_or_default();
        self.channel.status.account(crate::format::neutral(name).chars().take(64).collect());
        me.get("id").and_then(Value::as_i64).ok_or(CallError::Malformed)
    }

    async fn poll(&mut self) -> Result<Vec<Value>, CallError> {
        let mut body = json!({
            "timeout": self.channel.poll_timeout.as_secs(),
            "limit": self.limit,
            // Edits are asked for so that they are seen to be ignored, whatever an earlier program asked for.
            "allowed_updates": ["message", "edited_message", "callback_query"],
        });
        if let Some(offset) = self.offset {
            body["offset"] = offset.into();
        }
        let limit = self.channel.poll_timeout + POLL_MARGIN;
        self.channel.liveness.beat(limit);
        match self.channel.api.call("getUpdates", &body, limit, self.cancel).await? {
            Value::Array(updates) => Ok(updates),
            _ => Err(CallError::Malformed),
        }
    }

    /// Hands a batch over and moves the place to the first update that was not confirmed.
    async fn hand_over(&mut self, updates: Vec<Value>) -> Result<(), ReceiveEnd> {
        let ids: Vec<i64> = updates.iter().filter_map(update_id).collect();
        let mut waiting: Vec<(i64, oneshot::Receiver<()>)> = Vec::new();
        let mut unconfirmed = None;
        for update in &updates {
            let Some(id) = update_id(update) else { continue };
            let Some(item) = parse(update) else { continue };
            let (ack, confirmed) = Ack::new();
            self.channel.liveness.beat(HANDOVER_TIMEOUT);
            match timeout(HANDOVER_TIMEOUT, self.to.send(Delivered { item, ack })).await {
                Ok(Ok(())) => waiting.push((id, confirmed)),
                Ok(Err(_)) => return Err(ReceiveEnd::Closed),
                Err(_) => {
                    // Nothing after this one was handed over either, whatever the order of the ids.
                    let rest = ids.iter().copied().filter(|other| !waiting.iter().any(|(id, _)| id == other));
                    unconfirmed = rest.min();
                    break;
                }
            }
        }
        self.channel.liveness.beat(CONFIRM_TIMEOUT);
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        for (id, confirmed) in waiting {
            let is_confirmed = matches!(timeout_at(deadline, confirmed).await, Ok(Ok(())));
            if !is_confirmed {
                unconfirmed = Some(unconfirmed.map_or(id, |earlier: i64| earlier.min(id)));
            }
        }
        if let Some(first) = unconfirmed {
            self.offset = Some(first);
            let wait = self.backoff.next_wait();
            let error = "a message could not be stored; Telegram keeps it and it will be received again";
            return self.pause(Polling::Waiting, error.to_owned(), wait).await;
        }
        if let Some(last) = ids.iter().max() {
            self.offset = Some(last.saturating_add(1));
        }
        self.channel.status.received();
        self.backoff.reset();
        self.limit = BATCH;
        Ok(())
    }

    /// Decides what a failed call means and waits accordingly.
    async fn setback(&mut self, error: CallError) -> Result<(), ReceiveEnd> {
        let text = error.to_string();
        match error {
            CallError::Refused { code: 401, .. } => Err(unauthorized()),
            CallError::Refused { code: 409, description, .. } => self.conflict(&description, text).await,
            CallError::Refused { code: 429, retry_after, .. } => {
                let asked = retry_after.unwrap_or_else(|| self.backoff.next_wait()).min(MAX_RETRY_AFTER);
                let wait = asked + jittered(Duration::from_millis(200));
                self.pause(Polling::Waiting, text, wait).await
            }
            CallError::Refused { .. } => {
                let wait = self.backoff.next_wait();
                self.pause(Polling::Waiting, text, wait).await
            }
            CallError::Malformed => {
                self.limit = 1;
                let wait = self.backoff.next_wait();
                self.pause(Polling::Waiting, text, wait).await
            }
            CallError::Transport(error) => self.unreachable(error.kind, error.message, text).await,
        }
    }

    async fn unreachable(&mut self, kind: EgressErrorKind, why: String, text: String) -> Result<(), ReceiveEnd> {
        match kind {
            EgressErrorKind::Cancelled => return Err(ReceiveEnd::Cancelled),
            EgressErrorKind::Secret => return Err(ReceiveEnd::Auth(why)),
            // One update less at a time may get through.
            EgressErrorKind::TooLarge => self.limit = 1,
            EgressErrorKind::Connect
            | EgressErrorKind::Timeout
            | EgressErrorKind::Tls
            | EgressErrorKind::Closed
            | EgressErrorKind::Invalid
            | EgressErrorKind::Malformed => {}
        }
        let wait = self.backoff.next_wait();
        if self.backoff.failures().is_multiple_of(RENEW_AFTER) {
            self.channel.api.renew();
        }
        self.pause(Polling::Waiting, text, wait).await
    }

    /// A webhook is taken away once; somebody else's poll is waited for.
    async fn conflict(&mut self, description: &str, text: String) -> Result<(), ReceiveEnd> {
        if !self.webhook_deleted && description.to_ascii_lowercase().contains("webhook") {
            self.webhook_deleted = true;
            tracing::warn!(channel = %self.channel.id, "a webhook was set for this bot; removing it to receive here");
            self.channel.liveness.beat(CALL_TIMEOUT);
            let body = json!({ "drop_pending_updates": false });
            if self.channel.api.call("deleteWebhook", &body, CALL_TIMEOUT, self.cancel).await.is_ok() {
                return Ok(());
            }
        }
        self.pause(Polling::Conflict, text, self.conflict_wait()).await
    }

    /// Longer than a poll lasts. Were it shorter, two programs would end each other's polls without end.
    fn conflict_wait(&self) -> Duration {
        let margin = (self.channel.poll_timeout / 5).max(Duration::from_secs(1));
        self.channel.poll_timeout + margin + jittered(margin)
    }

    async fn pause(&self, polling: Polling, error: String, wait: Duration) -> Result<(), ReceiveEnd> {
        self.channel.liveness.beat(wait);
        if self.channel.status.disturbed(polling, error.clone()) {
            tracing::warn!(channel = %self.channel.id, wait_ms = wait.as_millis(), "receiving is disturbed: {error}");
        }
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ReceiveEnd::Cancelled),
            () = sleep(wait) => Ok(()),
        }
    }
}

fn update_id(update: &Value) -> Option<i64> {
    update.get("update_id").and_then(Value::as_i64)
}

fn unauthorized() -> ReceiveEnd {
    ReceiveEnd::Auth(
        "Telegram does not accept the bot's token: it is wrong, or was revoked; get one from @BotFather, store it with \
         `factotum secret set`, and restart"
            .to_owned(),
    )
}
