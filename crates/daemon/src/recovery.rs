//! What a restart has to make good: turns that were interrupted, answers that were not handed to the outbox, messages
//! that nobody has begun with. It must not repeat an effect: that is for the agent and the store to know.

use std::{sync::Arc, time::Duration};

use store::{
    StoreError,
    audit::{AuditEntry, AuditKind},
};

use crate::{core::Core, deliver, present, sessions};

/// How long to wait before what a full disk prevented is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Lets interrupted turns go on. Must be done before any message is accepted: a message would begin another turn in the
/// same session.
pub(crate) async fn resume(core: &Arc<Core>) -> Result<(), StoreError> {
    for turn in core.store.unfinished_turns()? {
        tracing::info!(turn = %turn.id, "a turn that was interrupted goes on");
        sessions::resume(core, turn.session).await;
    }
    Ok(())
}

/// Takes up everything else that the last run left.
pub(crate) async fn recover(core: Arc<Core>) {
    let detail = serde_json::json!({ "started": env!("CARGO_PKG_VERSION"), "pid": std::process::id() });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail };
    if let Err(error) = core.store.audit().append(entry).await {
        tracing::error!(%error, "the audit log cannot be written; tools will refuse to run");
    }
    while let Err(error) = take_up(&core).await {
        tracing::error!(%error, "what the last run left could not be taken up; trying again");
        tokio::select! {
            () = core.phases.stopping.cancelled() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Messages that wait do not depend on answers that cannot be handed over now, so they come first.
async fn take_up(core: &Arc<Core>) -> Result<(), StoreError> {
    for session in core.store.sessions_with_waiting_inbox()? {
        sessions::wake(core, session, types::WhenBusy::Steer).await;
    }
    for turn in core.store.undelivered_turns()? {
        deliver::turn(core, turn.id).await?;
        let core = core.clone();
        core.tasks.clone().spawn(async move { present::close(&core, &turn).await });
    }
    Ok(())
}
