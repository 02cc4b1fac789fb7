//! One target's task: read what is new, hand it over, remember how far it came, and try again when it fails.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use store::audit::{AuditEntry, AuditKind, Follower, Head, Line};
use tokio::sync::watch;
use types::{Event, Level, Timestamp};

use super::{MAX_BYTES, MAX_RECORDS, State, Target, cursor, shipped};
use crate::core::Core;

/// How long to wait after a failure at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The owner is told of a target's trouble once in this time.
const ALARM_EVERY: Duration = Duration::from_secs(3_600);
/// How long the last attempt may take when the daemon stops.
const LAST_ATTEMPT: Duration = Duration::from_millis(1_500);

/// Ships to one target until the daemon closes.
pub(crate) async fn run(core: Arc<Core>, name: String, target: Target) {
    let Some(state) = core.shipping.state(&name).cloned() else { return };
    let Some(path) = core.store.audit().path().map(ToOwned::to_owned) else { return };
    let at = match shipped(&core.store, &name) {
        Ok(at) => at,
        Err(error) => {
            tracing::error!(%error, name, "how far the audit log was shipped is not known; all of it is shipped again");
            Head::start()
        }
    };
    let follower = Follower::after(&path, at.clone());
    state.send_modify(|state| state.shipped = at.seq);
    let mut shipper = Shipper { core, name, target, state, follower, pending: None, alarmed: None };
    shipper.work().await;
}

struct Shipper {
    core: Arc<Core>,
    name: String,
    target: Target,
    state: watch::Sender<State>,
    follower: Follower,
    /// Records that were read and not confirmed.
    pending: Option<Arc<[Line]>>,
    /// When the owner was last told of trouble.
    alarmed: Option<Timestamp>,
}

impl Shipper {
    async fn work(&mut self) {
        let closing = self.core.phases.closing.clone();
        let mut heads = self.core.store.audit().heads();
        let mut wait = FIRST_WAIT;
        while !closing.is_cancelled() {
            heads.mark_unchanged();
            match self.round().await {
                Ok(true) => wait = FIRST_WAIT,
                Ok(false) => {
                    tokio::select! {
                        () = closing.cancelled() => {}
                        changed = heads.changed() => if changed.is_err() { break },
                    }
                }
                Err(error) => {
                    self.failed(error).await;
                    tokio::select! {
                        () = closing.cancelled() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        // What was recorded while the daemon stopped; what does not go now goes after the next start.
        let rest = async { while let Ok(true) = self.round().await {} };
        if tokio::time::timeout(LAST_ATTEMPT, rest).await.is_err() {
            tracing::warn!(name = self.name, "the end of the audit log is shipped after the next start");
        }
    }

    /// Ships the next records. False when there are none.
    async fn round(&mut self) -> Result<bool, String> {
        let lines = match self.pending.clone() {
            Some(lines) => lines,
            None => {
                let Some(lines) = self.read().await? else {
                    self.state.send_if_modified(|state| {
                        let changed = state.oldest.is_some();
                        state.oldest = None;
                        changed
                    });
                    return Ok(false);
                };
                self.pending = Some(lines.clone());
                lines
            }
        };
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(false) };
        self.state.send_modify(|state| state.oldest = Some(first.at));
        self.target.send(&lines).await?;
        store::fault_point("shipped");
        self.pending = None;
        let (name, value) = (cursor(&self.name), format!("{} {}", last.head.seq, last.head.hash));
        if let Err(error) = self.core.store.transact(move |tx| tx.set_cursor(name, value)).await {
            // After a restart these records are shipped again, which their numbers show.
            tracing::warn!(%error, name = self.name, "how far the audit log was shipped could not be stored");
        }
        let recovered = self.state.borrow().error.is_some();
        self.state.send_modify(|state| *state = State { shipped: last.head.seq, oldest: None, error: None });
        if recovered && self.alarmed.take().is_some() {
            self.tell(Level::Warning, format!("the audit log is shipped to {} again", self.name)).await;
        }
        Ok(true)
    }

    async fn read(&mut self) -> Result<Option<Arc<[Line]>>, String> {
        let until = self.core.store.audit().head().seq;
        if self.follower.at().seq > until {
            let at = self.follower.at().seq;
            self.alarm(format!(
                "the audit log ends with record {until}, and record {at} was shipped to {}: its end was cut off. All of \
                 it is shipped again; `factotum log verify --copy` compares the two",
                self.name
            ))
            .await;
            let path = self.core.store.audit().path().ok_or("the audit log is not a file")?.to_owned();
            self.follower = Follower::after(&path, Head::start());
        }
        let batch = self.follower.next(until, MAX_RECORDS, MAX_BYTES).map_err(|error| error.to_string())?;
        if let Some(seq) = batch.parted {
            self.alarm(format!(
                "record {seq} of the audit log does not fit what was shipped to {}: one of them was changed; `factotum \
                 log verify --copy` compares the two",
                self.name
            ))
            .await;
        }
        Ok((!batch.lines.is_empty()).then(|| batch.lines.into()))
    }

    async fn failed(&mut self, error: String) {
        tracing::warn!(name = self.name, error, "the audit log could not be shipped; trying again");
        self.state.send_modify(|state| state.error = Some(error.clone()));
        let late = self.core.shipping.lags(&self.state.borrow());
        let now = self.core.clock.now();
        if !late || self.alarmed.is_some_and(|alarmed| now.since(alarmed) < ALARM_EVERY) {
            return;
        }
        self.alarmed = Some(now);
        let mut text = format!("the audit log is not shipped to {}: {error}. It is tried again and again", self.name);
        if self.core.shipping.0.required {
            text.push_str("; until then, calls that change anything are refused");
        }
        self.alarm(text).await;
    }

    /// Records that something is wrong, and tells the owner.
    async fn alarm(&self, text: String) {
        let detail = json!({ "event": "shipping", "target": self.name, "text": text });
        let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Alarm, detail };
        if let Err(error) = self.core.store.audit().append(entry).await {
            tracing::error!(%error, "an alarm could not be written to the audit log");
        }
        self.tell(Level::Error, text).await;
    }

    async fn tell(&self, level: Level, text: String) {
        let notice = Event::Notice { level, text };
        if let Err(error) = self.core.store.transact(move |tx| tx.record(None, None, notice)).await {
            tracing::error!(%error, "the owner could not be told about the shipping of the audit log");
        }
    }
}
