//! The records of one request: the intent before it goes out, and the outcome when the last of its parts is gone. Must not
//! decide.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use tokio_util::task::TaskTracker;
use types::Invariant;

use super::{
    answer::{Broken, Refusal},
    revocation::Present,
};
use crate::{DenyReason, EgressLog, EgressRecord, Meter, Stage};

/// A request that was allowed and recorded. When it is dropped, its outcome is recorded.
pub(super) struct Receipt {
    record: Mutex<EgressRecord>,
    meter: Meter,
    log: Arc<dyn EgressLog>,
    tracker: TaskTracker,
    /// What the connection is busy with, until this is dropped.
    present: Present,
}

impl Receipt {
    /// Records the intent. An error means that the request must not go out.
    pub async fn begin(
        record: EgressRecord,
        meter: Meter,
        log: Arc<dyn EgressLog>,
        tracker: TaskTracker,
        present: Present,
    ) -> Result<Arc<Self>, Refusal> {
        if log.record(&record).await.is_err() && !Invariant::AuditBeforeEffect.is_broken() {
            present.clear();
            return Err(DenyReason::Unrecorded.into());
        }
        Ok(Arc::new(Self { record: Mutex::new(record), meter, log, tracker, present }))
    }

    /// Counts bytes that are about to be sent.
    pub fn sending(&self, bytes: usize) -> Result<(), Broken> {
        self.meter.send(bytes as u64).map_err(|reason| self.broken(reason.code(), reason.to_string()))
    }

    /// Counts bytes that are about to be handed on.
    pub fn receiving(&self, bytes: usize) -> Result<(), Broken> {
        self.meter.receive(bytes as u64).map_err(|reason| self.broken(reason.code(), reason.to_string()))
    }

    /// Notes the answer's status.
    pub fn answered(&self, status: StatusCode) {
        self.change(|record| record.status = Some(status.as_u16()));
    }

    /// Notes why the request was broken off; the first reason stays.
    pub fn broken(&self, code: &'static str, text: String) -> Broken {
        self.change(|record| {
            record.reason.get_or_insert(code);
        });
        Broken(text)
    }

    fn change(&self, change: impl FnOnce(&mut EgressRecord)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.present.clear();
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        record.stage = Stage::Outcome;
        record.moved = self.meter.moved();
        let log = self.log.clone();
        self.tracker.spawn(async move {
            // The intent stands in the log; the next request will find out that nothing can be written.
            if log.record(&record).await.is_err() {
                tracing::error!(host = record.host, "the outcome of a request could not be recorded");
            }
        });
    }
}
