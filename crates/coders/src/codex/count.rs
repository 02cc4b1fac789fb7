//! What a conversation has used, over all its processes and helpers.

use std::collections::BTreeMap;

use serde_json::Value;
use types::Usage;

use crate::Totals;

/// Threads that are counted; more than this is not what Codex does.
const MAX_THREADS: usize = 256;

/// The count.
pub(super) struct Count {
    /// What the conversation had used when this process began.
    earlier: Usage,
    /// What this process does not count again, once that is known.
    before: Option<Usage>,
    /// What each thread has used: its own, and those of its helpers.
    used: BTreeMap<String, Usage>,
}

impl Count {
    pub fn new(earlier: Usage) -> Self {
        Self { earlier, before: None, used: BTreeMap::new() }
    }

    /// Takes in a thread's new total. A process goes on counting where the one before was (seen with 0.169); one that counts
    /// anew says less than was used already.
    pub fn add(&mut self, thread: &str, own: bool, total: &Value) -> Totals {
        let used = usage(total);
        if own && self.before.is_none() {
            let less = used.context() < self.earlier.context() || used.output < self.earlier.output;
            self.before = Some(if less { self.earlier } else { Usage::default() });
        }
        if self.used.contains_key(thread) || self.used.len() < MAX_THREADS {
            self.used.insert(thread.to_owned(), used);
        }
        let before = self.before.unwrap_or(self.earlier);
        Totals { usage: self.used.values().fold(before, |sum, used| sum.plus(*used)), cost: None }
    }
}

/// Codex counts what the cache gave as input.
fn usage(breakdown: &Value) -> Usage {
    let count = |key: &str| breakdown[key].as_u64().unwrap_or(0);
    let (cache_read, cache_write) = (count("cachedInputTokens"), count("cacheWriteInputTokens"));
    Usage {
        input: count("inputTokens").saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: count("outputTokens"),
        reasoning: count("reasoningOutputTokens"),
        cache_write_1h: 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn total(input: u64, cached: u64, output: u64) -> Value {
        json!({"inputTokens": input, "cachedInputTokens": cached, "outputTokens": output, "reasoningOutputTokens": 1})
    }

    fn used(input: u64, cache_read: u64, output: u64, reasoning: u64) -> Usage {
        Usage { input, cache_read, cache_write: 0, cache_write_1h: 0, output, reasoning }
    }

    #[test]
    fn what_the_cache_gave_is_not_counted_twice() {
        let mut count = Count::new(Usage::default());
        assert_eq!(count.add("a", true, &total(100, 60, 5)).usage, used(40, 60, 5, 1));
        assert_eq!(count.add("a", true, &total(200, 90, 9)).usage, used(110, 90, 9, 1));
    }

    #[test]
    fn a_resumed_conversation_is_never_cheaper_than_before() {
        let earlier = used(40, 60, 5, 1);
        let mut going_on = Count::new(earlier);
        assert_eq!(going_on.add("a", true, &total(100, 60, 5)).usage, earlier);
        assert_eq!(going_on.add("a", true, &total(150, 60, 7)).usage, used(90, 60, 7, 1));
        let mut anew = Count::new(earlier);
        assert_eq!(anew.add("a", true, &total(10, 0, 1)).usage, used(50, 60, 6, 2));
        assert_eq!(anew.add("a", true, &total(500, 0, 50)).usage, used(540, 60, 55, 2));
    }

    #[test]
    fn helpers_are_counted_beside_it() {
        let mut count = Count::new(Usage::default());
        count.add("a", true, &total(100, 0, 5));
        assert_eq!(count.add("helper", false, &total(10, 0, 1)).usage, used(110, 0, 6, 2));
        assert_eq!(count.add("helper", false, &json!("nonsense")).usage, used(100, 0, 5, 1));
    }
}
