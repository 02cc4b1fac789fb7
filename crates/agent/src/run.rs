//! One run of a turn: what stays the same from step to step.

use std::{sync::Arc, time::Duration};

use policy::Redactor;
use store::{StoreError, Turn, Tx};
use tokio_util::sync::CancellationToken;
use types::{Event, Invariant, Label, SessionId, WorkspaceName};

use crate::{
    Deps,
    models::{self, Model, ModelRole},
    progress::Progress,
};

/// How long a write that finds the disk full is put off, each time; then it fails.
const DISK_FULL_WAITS: [u64; 6] = [1, 2, 4, 8, 15, 30];

/// A turn that runs.
pub(crate) struct Run<'a> {
    pub deps: &'a Deps,
    /// As it was when the run began; `step` is not kept up to date.
    pub turn: Turn,
    pub session: SessionId,
    pub workspace: WorkspaceName,
    /// The owner's stop.
    pub cancel: CancellationToken,
    /// Stops everything that the turn does: by the owner, or because its time is over.
    pub halt: CancellationToken,
}

impl<'a> Run<'a> {
    pub(crate) fn new(deps: &'a Deps, turn: Turn, cancel: CancellationToken) -> Result<Self, StoreError> {
        let session = deps
            .store
            .session(turn.session)?
            .ok_or_else(|| StoreError::NotFound { what: "session", id: turn.session.to_string() })?;
        // Broken by a test, nothing that the owner says from outside reaches the turn.
        let halt = if Invariant::StopIsOutside.is_broken() { CancellationToken::new() } else { cancel.child_token() };
        Ok(Self { deps, session: session.id, workspace: session.workspace, cancel, halt, turn })
    }

    /// Writes durably. A full disk is waited for, unless the turn is to stop.
    pub(crate) async fn commit<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Clone + Send + 'static,
    {
        for seconds in DISK_FULL_WAITS {
            match self.deps.store.transact(job.clone()).await {
                Err(StoreError::DiskFull) => {}
                done => return done,
            }
            tracing::warn!(turn = %self.turn.id, "the disk is full; the turn waits");
            tokio::select! {
                () = self.halt.cancelled() => break,
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            }
        }
        self.deps.store.transact(job).await
    }

    /// The masking in force now; secrets may be added while the turn runs.
    pub(crate) fn redactor(&self) -> Arc<Redactor> {
        (self.deps.redactor)()
    }

    /// Shows something that is not kept.
    pub(crate) fn publish(&self, event: Event) {
        self.deps.store.publish(Some(self.session), Some(self.turn.id), event);
    }

    /// The session's label at this moment.
    pub(crate) fn label(&self) -> Result<Label, StoreError> {
        // A session that is gone tells nothing, and nothing known is the highest label.
        Ok(self.deps.store.session(self.session)?.map_or(Label::UNKNOWN, |session| session.label))
    }

    /// Who is asked next in a role, leaving out who failed. None when all have failed.
    pub(crate) fn pick(&self, role: ModelRole, failed: &[String]) -> Result<Option<Arc<Model>>, StoreError> {
        let chosen = models::chosen(&self.deps.store, self.session)?;
        Ok(self.deps.models.pick(role, chosen.as_deref(), failed, self.deps.clock.now()))
    }

    /// The model that the turn's own call was begun with. One that has gone from the settings meanwhile is replaced.
    pub(crate) fn model(&self, progress: &Progress) -> Result<Arc<Model>, StoreError> {
        if let Some(model) = progress.model.as_deref().and_then(|name| self.deps.models.chosen(name)) {
            return Ok(model.clone());
        }
        Ok(self.pick(ModelRole::Main, &progress.failed)?.unwrap_or_else(|| self.deps.models.first().clone()))
    }

    /// The time that is left to the turn; none when it is not limited.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let used = self.deps.clock.now().since(self.turn.started_at);
        self.deps.settings.limits.wall.map(|limit| limit.saturating_sub(used))
    }
}
