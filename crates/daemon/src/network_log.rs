//! The audit log as the egress judge sees it: every decision about a request is recorded before it counts. Beside that it
//! keeps count of what goes out and of what is refused, and tells the owner when much is.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egress::{EgressLog, EgressRecord, Stage, Unrecorded};
use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditKind},
};
use types::{BoxFuture, Clock, Event, Level, SessionId, Timestamp};

use crate::traffic::Traffic;

/// So many refusals within an hour are told.
const REFUSALS: usize = 50;
/// And told again after this at the earliest.
const HOUR: Duration = Duration::from_secs(3_600);

/// Records what the judge decides.
pub struct NetworkLog {
    store: Store,
    clock: Arc<dyn Clock>,
    traffic: Traffic,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    /// When the last ones were, oldest first; at most [`REFUSALS`].
    times: VecDeque<Timestamp>,
    told: Option<Timestamp>,
}

impl NetworkLog {
    /// A log that writes into the store's audit log.
    pub fn new(store: Store, clock: Arc<dyn Clock>, traffic: Traffic) -> Self {
        Self { store, clock, traffic, refusals: Mutex::default() }
    }

    async fn write(&self, record: &EgressRecord) -> Result<(), Unrecorded> {
        let session = record.who.session.map(SessionId);
        let entry = AuditEntry { session, turn: None, call: None, kind: AuditKind::Egress, detail: detail(record) };
        if let Err(error) = self.store.audit().append(entry).await {
            tracing::error!(%error, "a request could not be written to the audit log, and is refused");
            if !types::Invariant::AuditBeforeEffect.is_broken() {
                return Err(Unrecorded);
            }
        }
        match record.stage {
            Stage::Intent => {}
            Stage::Outcome => {
                if let Some(session) = session {
                    self.traffic.add(session, record.moved.up);
                }
            }
            Stage::Denied => {
                if let Some(text) = self.refused(&record.host) {
                    self.alarm(text).await;
                }
            }
        }
        Ok(())
    }

    /// Counts a refusal; what to tell when there were too many.
    fn refused(&self, host: &str) -> Option<String> {
        let now = self.clock.now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.times.push_back(now);
        if refusals.times.len() > REFUSALS {
            refusals.times.pop_front();
        }
        let first = refusals.times.front().copied().unwrap_or(now);
        let many = refusals.times.len() == REFUSALS && now.since(first) <= HOUR;
        if !many || refusals.told.is_some_and(|told| now.since(told) < HOUR) {
            return None;
        }
        refusals.told = Some(now);
        let host = crate::core::shown(host);
        Some(format!("{REFUSALS} requests to the network were refused within an hour, the last one to `{host}`"))
    }

    async fn alarm(&self, text: String) {
        let detail = json!({ "event": "egress_refusals", "text": text });
        let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Alarm, detail };
        let notice = Event::Notice { level: Level::Warning, text: format!("{text}; see `factotum log show`") };
        if let Err(error) = self.store.audit().append(entry).await {
            tracing::error!(%error, "an alarm could not be written to the audit log");
        }
        if let Err(error) = self.store.transact(move |tx| tx.record(None, None, notice)).await {
            tracing::error!(%error, "the owner could not be told of refused requests");
        }
    }
}

impl EgressLog for NetworkLog {
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(self.write(record))
    }
}

/// The record as it stands in the log. It holds no header, no query and no body.
fn detail(record: &EgressRecord) -> serde_json::Value {
    json!({
        "stage": record.stage.as_str(),
        "client": record.who.client,
        "workspace": record.who.workspace,
        "host": record.host,
        "port": record.port,
        "method": record.method,
        "path": record.path,
        "address": record.address,
        "class": record.class.map(|class| class.to_string()),
        "rule": record.rule.as_ref().map(ToString::to_string),
        "reason": record.reason,
        "secret": record.secret,
        "bytes_up": record.moved.up,
        "bytes_down": record.moved.down,
        "status": record.status,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use egress::Who;
    use types::Seq;

    use super::*;

    fn record(stage: Stage) -> EgressRecord {
        let who = Who { session: Some(3), workspace: Some("billing".to_owned()), client: "sandbox" };
        let mut record = EgressRecord::new(stage, who, "crates.io", 443, "GET");
        record.moved.up = 700;
        record
    }

    fn log() -> (Store, Traffic, NetworkLog) {
        let clock: Arc<dyn Clock> = Arc::new(crate::SystemClock::new());
        let (store, traffic) = (Store::in_memory(clock.clone()).unwrap(), Traffic::default());
        (store.clone(), traffic.clone(), NetworkLog::new(store, clock, traffic))
    }

    #[tokio::test]
    async fn every_decision_is_recorded_and_what_goes_out_is_counted() {
        let (store, traffic, log) = log();
        for stage in [Stage::Intent, Stage::Outcome, Stage::Outcome] {
            log.record(&record(stage)).await.unwrap();
        }
        let records = store.audit().read(0, 9).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!((&records[0]["kind"], &records[0]["detail"]["stage"]), (&json!("egress"), &json!("intent")));
        assert_eq!(records[0]["detail"]["host"], "crates.io");
        assert_eq!(traffic.sent(SessionId(3)), 1_400);
        traffic.begin(SessionId(3));
        assert_eq!(traffic.sent(SessionId(3)), 0);
        store.close().await;
        assert_eq!(log.record(&record(Stage::Intent)).await, Err(Unrecorded), "no record, no request");
    }

    #[tokio::test]
    async fn many_refusals_are_told_once_in_an_hour() {
        let (store, _, log) = log();
        for _ in 0..3 * REFUSALS {
            log.record(&record(Stage::Denied)).await.unwrap();
        }
        let events = store.events_after(Seq(0), None, 99).unwrap();
        let notices = events.iter().filter(|envelope| matches!(envelope.event, Event::Notice { .. })).count();
        assert_eq!(notices, 1);
        assert_eq!(store.audit().read(0, 999).unwrap().len(), 3 * REFUSALS + 1);
    }
}
