//! What a restart has to make good: turns that were interrupted, answers that were not handed to the outbox, messages
//! that nobody has begun with. It must not repeat an effect: that is for the agent and the store to know.

use std::sync::Arc;

use store::StoreError;

use crate::{core::Core, deliver, present, sessions};

/// Takes up everything that the last run left.
pub(crate) async fn recover(core: Arc<Core>) {
    if let Err(error) = take_up(&core).await {
        tracing::error!(%error, "what the last run left could not be taken up");
    }
}

async fn take_up(core: &Arc<Core>) -> Result<(), StoreError> {
    for turn in core.store.unfinished_turns()? {
        tracing::info!(turn = %turn.id, "a turn that was interrupted goes on");
        sessions::resume(core, turn.session, turn.id).await;
    }
    for turn in core.store.undelivered_turns()? {
        deliver::turn(core, turn.id).await?;
        let core = core.clone();
        core.tasks.clone().spawn(async move { present::close(&core, &turn).await });
    }
    for session in core.store.sessions_with_waiting_inbox()? {
        sessions::wake(core, session, types::WhenBusy::Steer).await;
    }
    Ok(())
}
