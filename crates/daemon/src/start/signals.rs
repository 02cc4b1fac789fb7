//! Waiting for the word to stop.

use std::{io, sync::Arc};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{core::Core, sessions};

/// Returns when the daemon is to stop. SIGUSR1 is STOP: it ends all turns and the daemon lives on.
pub(super) async fn wait(core: &Arc<Core>, parts: &mut JoinSet<()>, cancel: CancellationToken) {
    let signals = || -> io::Result<[Signal; 3]> {
        Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::user_defined1())?])
    };
    let mut signals = match signals() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received; only the caller can stop the daemon");
            return cancel.cancelled().await;
        }
    };
    let [terminate, interrupt, stop] = &mut signals;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = stop.recv() => {
                let stopped = sessions::stop(core, None).await;
                tracing::warn!(turns = stopped.turns, "STOP by signal");
            }
            Some(ended) = parts.join_next() => if ended.is_err_and(|error| error.is_panic()) {
                // The rest goes on: a messenger that broke must not silence the others.
                tracing::error!("a part of the daemon panicked; restart factotum to have it back");
            },
        }
    }
}
