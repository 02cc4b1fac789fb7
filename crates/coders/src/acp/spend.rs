//! What a conversation has used, as far as the protocol tells: tokens with the answer to each prompt, money as a sum.

use serde_json::Value;
use types::{MicroUsd, Usage};

use crate::Totals;

#[derive(Debug)]
pub(super) struct Spend {
    earlier: Totals,
    usage: Usage,
    cost: Option<MicroUsd>,
    /// What the program's sum leaves out: some begin anew when a conversation is resumed.
    left_out: Option<MicroUsd>,
}

impl Spend {
    pub fn new(earlier: Totals) -> Self {
        // What it does not tell is not nothing: the owner's prices may say it.
        Self { earlier, usage: earlier.usage, cost: None, left_out: None }
    }

    /// The program's sum of money, in dollars. Other currencies are not ours to change.
    pub fn cost(&mut self, cost: &Value) -> Option<Totals> {
        let amount = cost["amount"].as_f64().filter(|amount| *amount > 0.0)?;
        if cost["currency"].as_str().is_some_and(|currency| currency != "USD") {
            return None;
        }
        let amount = MicroUsd((amount * 1e6).round() as u64);
        let earlier = self.earlier.cost.unwrap_or_default();
        let left_out = *self.left_out.get_or_insert(if amount < earlier { earlier } else { MicroUsd(0) });
        let cost = Some(amount.plus(left_out)).max(self.cost);
        let is_new = cost != self.cost;
        self.cost = cost;
        is_new.then_some(self.totals())
    }

    /// What the answer to a prompt says. Whether the input contains what came from a cache is told by the sum.
    pub fn prompt(&mut self, usage: &Value) -> Option<Totals> {
        let count = |key: &str| usage[key].as_u64().unwrap_or(0);
        let (input, output, thought) = (count("inputTokens"), count("outputTokens"), count("thoughtTokens"));
        let (read, write) = (count("cachedReadTokens"), count("cachedWriteTokens"));
        let cached = read.saturating_add(write);
        let total = count("totalTokens");
        let is_within = cached > 0 && input >= cached && total == input.saturating_add(output);
        let apart = total == input.saturating_add(output).saturating_add(cached).saturating_add(thought);
        let more = Usage {
            input: if is_within { input - cached } else { input },
            cache_read: read,
            cache_write: write,
            cache_write_1h: 0,
            output: if apart { output.saturating_add(thought) } else { output },
            reasoning: thought,
        };
        self.usage = self.usage.plus(more);
        (more != Usage::default()).then_some(self.totals())
    }

    fn totals(&self) -> Totals {
        Totals { usage: self.usage, cost: self.cost }
    }
}
