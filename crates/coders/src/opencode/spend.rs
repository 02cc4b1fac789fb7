//! What a conversation and those that it began have used. opencode says it twice: by step, at once, and for each conversation
//! as a whole, a little later and not at all after its last step before an abort. Both only grow and neither exceeds the truth,
//! so the larger one counts.

use std::collections::BTreeMap;

use serde_json::Value;
use types::{MicroUsd, Usage};

use crate::Totals;

/// Conversations within a conversation that are told apart; those beyond are counted by their steps alone.
const MAX_SESSIONS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Spend {
    /// What had been used when it was resumed.
    earlier: Sum,
    /// Steps since.
    steps: Sum,
    sessions: BTreeMap<String, Sum>,
    told: Totals,
}

impl Spend {
    pub fn new(earlier: Totals) -> Self {
        let dollars = earlier.cost.map_or(0.0, |cost| cost.0 as f64 / 1e6);
        Self { earlier: Sum { usage: earlier.usage, dollars }, told: earlier, ..Self::default() }
    }

    /// A step that was not counted before ended.
    pub fn step(&mut self, part: &Value) -> Option<Totals> {
        self.steps = self.steps.plus(Sum::read(part));
        self.changed()
    }

    /// A conversation says what it has used.
    pub fn session(&mut self, info: &Value) -> Option<Totals> {
        let id = info["id"].as_str()?;
        if self.sessions.len() < MAX_SESSIONS || self.sessions.contains_key(id) {
            let known = self.sessions.entry(id.to_owned()).or_default();
            *known = known.larger(Sum::read(info));
        }
        self.changed()
    }

    fn changed(&mut self) -> Option<Totals> {
        let sessions = self.sessions.values().copied().fold(Sum::default(), Sum::plus);
        let all = sessions.larger(self.earlier.plus(self.steps)).totals();
        let is_new = all != self.told;
        self.told = all;
        is_new.then_some(all)
    }
}

/// Tokens and dollars, the dollars as exactly as they are told, so that many small steps add up to the same as their sum.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    usage: Usage,
    dollars: f64,
}

impl Sum {
    /// Reads `cost` and `tokens`. Reasoning is beside the output there, and within it with us.
    fn read(value: &Value) -> Self {
        // Counts are JSON numbers that may have a point. A cast from f64 saturates.
        let count = |value: &Value| value.as_u64().or_else(|| value.as_f64().map(|count| count as u64)).unwrap_or(0);
        let tokens = &value["tokens"];
        let reasoning = count(&tokens["reasoning"]);
        let usage = Usage {
            input: count(&tokens["input"]),
            cache_read: count(&tokens["cache"]["read"]),
            cache_write: count(&tokens["cache"]["write"]),
            cache_write_1h: 0,
            output: count(&tokens["output"]).saturating_add(reasoning),
            reasoning,
        };
        Self { usage, dollars: value["cost"].as_f64().unwrap_or(0.0).max(0.0) }
    }

    fn plus(self, other: Self) -> Self {
        Self { usage: self.usage.plus(other.usage), dollars: self.dollars + other.dollars }
    }

    fn larger(self, other: Self) -> Self {
        let (a, b) = (self.usage, other.usage);
        let usage = Usage {
            input: a.input.max(b.input),
            cache_read: a.cache_read.max(b.cache_read),
            cache_write: a.cache_write.max(b.cache_write),
            cache_write_1h: 0,
            output: a.output.max(b.output),
            reasoning: a.reasoning.max(b.reasoning),
        };
        Self { usage, dollars: self.dollars.max(other.dollars) }
    }

    fn totals(self) -> Totals {
        let micro = (self.dollars * 1e6).round() as u64;
        // It says zero for a model whose price it does not know.
        Totals { usage: self.usage, cost: (micro > 0).then_some(MicroUsd(micro)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(input: u64, output: u64, dollars: f64) -> Value {
        let cache = json!({"read": 10, "write": 0});
        json!({"type": "step-finish", "cost": dollars, "tokens": {"input": input, "output": output, "cache": cache}})
    }

    #[test]
    fn the_steps_of_a_turn_add_up_in_tokens_as_in_money() {
        let mut spend = Spend::new(Totals::default());
        let told: Vec<Totals> = [step(8_016, 21, 0.01), step(163, 80, 0.002), step(383, 3, 0.0005)]
            .iter()
            .filter_map(|one| spend.step(one))
            .collect();
        let sums = |totals: &Totals| (totals.usage.input, totals.usage.output, totals.cost.map(|cost| cost.0));
        let expected = [(8_016, 21, Some(10_000)), (8_179, 101, Some(12_000)), (8_562, 104, Some(12_500))];
        assert_eq!(told.iter().map(sums).collect::<Vec<_>>(), expected);
        assert_eq!(told[2].usage.cache_read, 30);
        // The conversation says the same as a whole, later: nothing new, and nothing twice.
        let whole = json!({"id": "ses_1", "cost": 0.0125,
            "tokens": {"input": 8_562, "output": 104, "cache": {"read": 30, "write": 0}}});
        assert_eq!(spend.session(&whole), None);
        // A resumed one goes on from what it was.
        let mut again = Spend::new(told[2]);
        assert_eq!(again.step(&step(7, 1, 0.001)).as_ref().map(sums), Some((8_569, 105, Some(13_500))));
    }
}
