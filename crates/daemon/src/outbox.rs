//! Sending what is owed: each obligation at least once, in order for each chat, and marked where it may be there twice.
//! It must not decide what is sent.

mod message;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use channels::{ChannelErrorKind, RemoteId};
use store::{DeliveryBody, OutboxRow, OutboxState, StoreError};
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use types::{ChannelId, OutboxId};

use crate::{core::Core, requests};

/// How many chats are looked at in one go.
const LOOK: usize = 1_000;
/// How long to wait before the outbox is read again after that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest wait between two attempts.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// After so many attempts (about three days) a message is given up.
const MAX_ATTEMPTS: u32 = 1_000;
/// How long a stopping daemon goes on sending.
const FLUSH: Duration = Duration::from_secs(5);
/// How often and how long we try to record that something was sent: better than sending it twice.
const RECORD_ATTEMPTS: u32 = 20;

/// One chat of one messenger: what order is kept in.
type Target = (ChannelId, String);

/// How an attempt came out.
enum Outcome {
    /// It is there, or will never be.
    Settled,
    /// Try again after this time.
    Later {
        wait: Duration,
        /// The messenger may have taken it all the same.
        doubtful: bool,
    },
}

/// What this process knows of a row that it has tried to send.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    times: u32,
    doubtful: bool,
}

struct Pump {
    core: Arc<Core>,
    sends: JoinSet<Outcome>,
    /// What is being sent, by the task that sends it.
    busy: HashMap<task::Id, (Target, OutboxId)>,
    waiting: HashMap<Target, Instant>,
    /// Rows that this process has tried.
    tried: HashMap<OutboxId, Tried>,
    /// The outbox could not be read; then it is read again.
    unread: Option<Instant>,
}

/// Sends until the daemon has flushed.
pub(crate) async fn pump(core: Arc<Core>) {
    let flushing = core.phases.flushing.clone();
    let mut wake = core.store.outbox_wake();
    let mut pump = Pump {
        core,
        sends: JoinSet::new(),
        busy: HashMap::new(),
        waiting: HashMap::new(),
        tried: HashMap::new(),
        unread: None,
    };
    loop {
        wake.mark_unchanged();
        pump.begin_due();
        let next = pump.waiting.values().copied().chain(pump.unread).min();
        tokio::select! {
            () = flushing.cancelled() => break,
            changed = wake.changed() => if changed.is_err() { break },
            Some(sent) = pump.sends.join_next_with_id() => pump.ended(sent),
            () = sleep_until(next) => pump.release(),
        }
    }
    pump.flush().await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Pump {
    /// Starts one send for every chat that is neither busy nor waiting: the oldest row of each.
    fn begin_due(&mut self) {
        // They are asked for whatever time their next attempt was set to: the waiting times are kept here, by chat, so
        // that a later message does not overtake an earlier one.
        self.unread = None;
        let rows = match self.core.store.first_of_each_chat(LOOK) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read; trying again");
                self.unread = Some(Instant::now() + LOOK_AGAIN);
                return;
            }
        };
        let busy: HashSet<Target> = self.busy.values().map(|(target, _)| target.clone()).collect();
        for row in rows {
            let target = (row.channel.clone(), row.target.clone());
            if busy.contains(&target) || self.waiting.contains_key(&target) {
                continue;
            }
            let id = row.id;
            let tried = self.tried.entry(id).or_default();
            tried.times = tried.times.saturating_add(1);
            // An attempt before this one, perhaps before a restart, has no outcome on record.
            tried.doubtful |= row.state == OutboxState::Sending;
            let tried = *tried;
            let core = self.core.clone();
            let send = self.sends.spawn(async move {
                attempt(&core, row, tried).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "the outbox cannot be written");
                    Outcome::Later { wait: Duration::from_secs(5), doubtful: tried.doubtful }
                })
            });
            self.busy.insert(send.id(), (target, id));
        }
    }

    fn ended(&mut self, sent: Result<(task::Id, Outcome), JoinError>) {
        let (task, outcome) = sent.unwrap_or_else(|error| {
            tracing::error!("the code that sends a message panicked; it is tried again later");
            (error.id(), Outcome::Later { wait: MAX_WAIT, doubtful: true })
        });
        let Some((target, id)) = self.busy.remove(&task) else { return };
        match outcome {
            Outcome::Settled => {
                self.tried.remove(&id);
            }
            Outcome::Later { wait, doubtful } => {
                if let Some(tried) = self.tried.get_mut(&id) {
                    tried.doubtful |= doubtful;
                }
                self.waiting.insert(target, Instant::now() + wait);
            }
        }
    }

    fn release(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, at| *at > now);
    }

    /// Sends what can be sent at once, within the deadline.
    async fn flush(&mut self) {
        let deadline = Instant::now() + FLUSH;
        loop {
            self.begin_due();
            tokio::select! {
                sent = self.sends.join_next_with_id() => match sent {
                    Some(sent) => self.ended(sent),
                    None => return,
                },
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        self.sends.shutdown().await;
    }
}

/// One attempt at one row.
async fn attempt(core: &Arc<Core>, row: OutboxRow, tried: Tried) -> Result<Outcome, StoreError> {
    let id = row.id;
    let Some(messenger) = core.messengers.get(&row.channel) else {
        let error = format!("the channel {} is no longer configured", row.channel);
        core.store.transact(move |tx| tx.outbox_failed(id, error)).await?;
        return Ok(Outcome::Settled);
    };
    let Some(outbound) = message::compose(core, messenger, &row, tried.doubtful || row.possible_repeat)? else {
        // Nothing is left to say, such as a question that was settled before it was shown.
        core.store.transact(move |tx| tx.outbox_sent(id, "")).await?;
        return Ok(Outcome::Settled);
    };
    // From here on nobody can say that it was not sent, until its end is recorded.
    core.store.transact(move |tx| tx.outbox_sending(id)).await?;
    match messenger.channel.send(&row.target, outbound, core.phases.closing.clone()).await {
        Ok(remote) => {
            store::fault_point("outbox-sent");
            record_sent(core, &row, remote).await
        }
        Err(error) => failed(core, &row, &error, tried).await,
    }
}

/// Records a delivery. Full disks pass: it is worth waiting for, because the alternative is a repeat.
async fn record_sent(core: &Arc<Core>, row: &OutboxRow, remote: RemoteId) -> Result<Outcome, StoreError> {
    let id = row.id;
    for attempt in 1.. {
        let remote = remote.0.clone();
        let shown = match &row.body {
            DeliveryBody::Request { request } => Some(requests::shown_cursor(*request, &row.channel)),
            DeliveryBody::Text { .. } | DeliveryBody::Notice { .. } => None,
        };
        let record = move |tx: &mut store::Tx<'_>| {
            if let Some(cursor) = shown {
                tx.set_cursor(cursor, remote.clone())?;
            }
            tx.outbox_sent(id, remote)
        };
        match core.store.transact(record).await {
            Ok(()) => break,
            Err(error) if attempt >= RECORD_ATTEMPTS => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a delivery could not be recorded; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Ok(Outcome::Settled)
}

/// Decides what follows a failure. A row that the messenger may have taken stays in `Sending`, so that the doubt
/// survives a restart.
async fn failed(
    core: &Arc<Core>,
    row: &OutboxRow,
    error: &channels::ChannelError,
    tried: Tried,
) -> Result<Outcome, StoreError> {
    let (id, text) = (row.id, error.to_string());
    let wait = match error.kind {
        ChannelErrorKind::Permanent | ChannelErrorKind::Unsupported => None,
        ChannelErrorKind::RateLimited { retry_after } => Some(retry_after.min(MAX_WAIT)),
        ChannelErrorKind::Transient => Some(backoff(tried.times)),
        // The owner can mend this without us: by another secret.
        ChannelErrorKind::Auth => Some(MAX_WAIT),
        ChannelErrorKind::Cancelled => Some(Duration::from_secs(1)),
    };
    let Some(wait) = wait.filter(|_| row.attempts.max(tried.times) < MAX_ATTEMPTS) else {
        tracing::warn!(channel = %row.channel, error = %text, "a message was given up");
        core.store.transact(move |tx| tx.outbox_failed(id, text)).await?;
        return Ok(Outcome::Settled);
    };
    if !error.maybe_sent && !tried.doubtful {
        let at = core.clock.now().plus(wait);
        core.store.transact(move |tx| tx.outbox_retry(id, at, text)).await?;
    }
    Ok(Outcome::Later { wait, doubtful: error.maybe_sent })
}

/// A second at first, then twice as long each time, with jitter so that many chats do not come back at once.
fn backoff(times: u32) -> Duration {
    let whole = Duration::from_secs(1 << times.saturating_sub(1).min(9)).min(MAX_WAIT);
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    whole / 2 + (whole / 2).mul_f64(part)
}
