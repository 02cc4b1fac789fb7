//! How much each session sends to the network while its turn runs, and how often it was refused. Kept in memory: the
//! audit log has every request. It must not decide anything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use types::SessionId;

/// The most sessions that are counted; the oldest is forgotten first.
const MAX_SESSIONS: usize = 4_096;

/// Counters. Cheap to clone; all clones count together.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Mutex<BTreeMap<SessionId, u64>>>);

impl Traffic {
    /// A turn begins: it is counted from zero.
    pub fn begin(&self, session: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Counts bytes that went out.
    pub fn add(&self, session: SessionId, bytes: u64) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sent.entry(session).or_insert(0);
        *count = count.saturating_add(bytes);
        if sent.len() > MAX_SESSIONS {
            sent.pop_first();
        }
    }

    /// The bytes that went out since the session's turn began.
    pub fn sent(&self, session: SessionId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied().unwrap_or(0)
    }
}
