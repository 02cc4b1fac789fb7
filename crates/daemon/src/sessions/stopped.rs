//! How far STOP reaches, kept so that a restart does not undo it: everything that had come up to one message is stopped.
//! Messages are numbered in the order in which they came, so one number is enough.

use store::{Store, StoreError};
use types::{InboxId, SessionId};

use crate::core::Core;

/// The cursor for a STOP in every session.
const EVERYWHERE: &str = "stopped";

/// Remembers that everything up to this message is stopped, in one session or in all.
pub(super) async fn remember(core: &Core, session: Option<SessionId>, last: InboxId) -> Result<(), StoreError> {
    let name = session.map_or_else(|| EVERYWHERE.to_owned(), of_session);
    core.store.transact(move |tx| tx.set_cursor(name, last.to_string())).await
}

/// The last message of a session that STOP reaches; 0 before the first STOP.
pub(super) fn reach(store: &Store, session: SessionId) -> Result<InboxId, StoreError> {
    let read = |name: &str| -> Result<i64, StoreError> {
        Ok(store.cursor(name)?.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    Ok(InboxId(read(EVERYWHERE)?.max(read(&of_session(session))?)))
}

fn of_session(session: SessionId) -> String {
    format!("{EVERYWHERE}:{session}")
}
