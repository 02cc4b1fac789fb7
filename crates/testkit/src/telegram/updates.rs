//! The queue of updates. One that was asked for with a higher offset is confirmed and forgotten.

use std::collections::VecDeque;

use serde_json::Value;

/// The number of the first update.
const FIRST: i64 = 900_000_001;

#[derive(Clone, Debug)]
pub(super) struct Updates {
    queue: VecDeque<(i64, Value)>,
    next: i64,
    allowed: Option<Vec<String>>,
    /// Counts the polls that wait, so that one that finds a later number knows that it was replaced.
    pub polls: u64,
}

impl Default for Updates {
    fn default() -> Self {
        Self { queue: VecDeque::new(), next: FIRST, allowed: None, polls: 0 }
    }
}

impl Updates {
    /// Queues an update and gives its number; none when the bot does not want its kind.
    pub(super) fn push(&mut self, mut update: Value) -> Option<i64> {
        let kind = update.as_object().and_then(|fields| fields.keys().find(|key| *key != "update_id").cloned());
        if let (Some(allowed), Some(kind)) = (&self.allowed, kind)
            && !allowed.contains(&kind)
        {
            return None;
        }
        let id = self.next;
        self.next += 1;
        update["update_id"] = id.into();
        self.queue.push_back((id, update));
        Some(id)
    }

    pub(super) fn allow(&mut self, kinds: Vec<String>) {
        // An empty list stands for the default, which is all kinds that matter here.
        self.allowed = (!kinds.is_empty()).then_some(kinds);
    }

    /// Forgets what `offset` confirms: a negative one keeps that many of the latest.
    pub(super) fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let keep = usize::try_from(-offset).unwrap_or(usize::MAX);
            let excess = self.queue.len().saturating_sub(keep);
            self.queue.drain(..excess);
        } else if offset <= self.next {
            // An offset from the future is another bot's; the real server ignores it.
            self.queue.retain(|(id, _)| *id >= offset);
        }
    }

    pub(super) fn take(&self, limit: usize) -> Vec<Value> {
        self.waiting().take(limit).cloned().collect()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Value> {
        self.queue.iter().map(|(_, update)| update)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}
