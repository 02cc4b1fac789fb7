//! The records of decisions, with what follows from them for labels: before the first request that a workspace's programs
//! are allowed, the workspace counts as holding foreign text, since what comes back was written by others. The result of a
//! fetch carries its own label into the session instead. Must not write a record itself.

use egress::{EgressLog, EgressRecord, Stage, Unrecorded};
use store::{Store, StoreError};
use types::{BoxFuture, Label, WorkspaceName};

use crate::network_log::NetworkLog;

/// The log, and the journal that keeps the labels.
pub(super) struct Records {
    log: NetworkLog,
    store: Store,
}

impl Records {
    pub fn new(log: NetworkLog, store: Store) -> Self {
        Self { log, store }
    }

    async fn raise(&self, name: WorkspaceName) -> Result<(), StoreError> {
        if self.store.workspace_label(&name)?.covers(Label::FOREIGN) {
            return Ok(());
        }
        self.store.transact(move |tx| tx.raise_workspace_label(&name, Label::FOREIGN)).await
    }
}

impl EgressLog for Records {
    fn record<'a>(&'a self, record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async move {
            let is_first_step = record.stage == Stage::Intent && record.who.client == super::door::CLIENT;
            if let Some(name) = record.who.workspace.as_deref().filter(|_| is_first_step) {
                let name = WorkspaceName::new(name).map_err(|_| Unrecorded)?;
                if let Err(error) = self.raise(name).await {
                    tracing::error!(%error, "a workspace's label could not be raised, and its program's request is refused");
                    return Err(Unrecorded);
                }
            }
            self.log.record(record).await
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use egress::Who;
    use types::Clock;

    use super::*;
    use crate::traffic::Traffic;

    #[tokio::test]
    async fn a_workspace_whose_programs_reach_the_network_holds_foreign_text() {
        let clock: Arc<dyn Clock> = Arc::new(crate::SystemClock::new());
        let store = Store::in_memory(clock.clone()).unwrap();
        let records = Records::new(NetworkLog::new(store.clone(), clock, Traffic::default()), store.clone());
        let name = WorkspaceName::new("billing").unwrap();
        let before = store.workspace_label(&name).unwrap();
        let record = |stage, client| {
            let who = Who { session: Some(1), workspace: Some("billing".to_owned()), client };
            EgressRecord::new(stage, who, "crates.io", 443, "GET")
        };
        records.record(&record(Stage::Denied, "sandbox")).await.unwrap();
        records.record(&record(Stage::Intent, "fetch")).await.unwrap();
        assert_eq!(store.workspace_label(&name).unwrap(), before);
        records.record(&record(Stage::Intent, "sandbox")).await.unwrap();
        assert!(store.workspace_label(&name).unwrap().covers(Label::FOREIGN));
    }
}
