//! What a job's coding agents have done and used, for the limits of the job. Pure; must not decide what follows from it.

use serde::{Deserialize, Serialize};
use types::{MicroUsd, Usage};

use crate::{CoderEvent, Start, Totals};

/// Counts turns, tools, tokens and money over all programs and conversations of a job. A coding agent reports what its
/// conversation has used since it began, and goes on from there when it is resumed or copied; the meter counts each token once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meter {
    /// Turns that ended.
    pub rounds: u32,
    /// Tools that ended.
    pub iterations: u32,
    /// Tokens.
    pub usage: Usage,
    /// Money, as far as coding agents told it.
    pub cost: MicroUsd,
    /// What is counted already of the conversation that runs.
    counted: Totals,
}

/// What one event adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens.
    pub usage: Usage,
    /// Money, if the coding agent tells it at all.
    pub cost: Option<MicroUsd>,
}

impl Meter {
    /// A program starts: what its conversation had used before is known.
    pub fn begin(&mut self, start: &Start) {
        self.counted = if start.resume.is_some() { start.spent } else { Totals::default() };
    }

    /// Counts an event, each exactly once. Gives what it adds.
    pub fn count(&mut self, event: &CoderEvent) -> Used {
        match event {
            CoderEvent::ToolFinished { .. } => self.iterations = self.iterations.saturating_add(1),
            CoderEvent::Finished { .. } => self.rounds = self.rounds.saturating_add(1),
            CoderEvent::Spent(totals) => return self.spent(*totals),
            CoderEvent::Started { .. }
            | CoderEvent::TextDelta { .. }
            | CoderEvent::Text { .. }
            | CoderEvent::Thinking { .. }
            | CoderEvent::ToolStarted { .. }
            | CoderEvent::FileChanged { .. }
            | CoderEvent::Plan { .. }
            | CoderEvent::PermissionAsked(_)
            | CoderEvent::PermissionWithdrawn { .. }
            | CoderEvent::Retrying { .. }
            | CoderEvent::Waiting { .. }
            | CoderEvent::Note { .. }
            | CoderEvent::Other { .. } => {}
        }
        Used::default()
    }

    /// Input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.usage.context().saturating_add(self.usage.output)
    }

    /// What the conversation that runs has used in all: what [`Start::spent`] must be to go on with it.
    pub fn conversation(&self) -> Totals {
        self.counted
    }

    fn spent(&mut self, totals: Totals) -> Used {
        let before = self.counted;
        let usage = Usage {
            input: since(before.usage.input, totals.usage.input),
            cache_read: since(before.usage.cache_read, totals.usage.cache_read),
            cache_write: since(before.usage.cache_write, totals.usage.cache_write),
            output: since(before.usage.output, totals.usage.output),
            reasoning: since(before.usage.reasoning, totals.usage.reasoning),
        };
        let cost = totals.cost.map(|cost| MicroUsd(since(before.cost.unwrap_or_default().0, cost.0)));
        self.usage = self.usage.plus(usage);
        self.cost = self.cost.plus(cost.unwrap_or_default());
        self.counted = Totals { usage: totals.usage, cost: totals.cost.or(before.cost) };
        Used { usage, cost }
    }
}

/// The growth of a counter. One that fell has begun anew: what it shows now was used since.
fn since(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CoderEnd;

    fn spent(input: u64, cost: Option<u64>) -> CoderEvent {
        CoderEvent::Spent(Totals { usage: Usage { input, ..Usage::default() }, cost: cost.map(MicroUsd) })
    }

    fn resumed(meter: &Meter, fork: bool) -> Start {
        Start { resume: Some("it".to_owned()), fork, spent: meter.conversation(), ..Start::default() }
    }

    #[test]
    fn totals_are_counted_once_however_often_they_are_told() {
        let mut meter = Meter::default();
        meter.begin(&Start::default());
        assert_eq!(meter.count(&spent(100, Some(5))).cost, Some(MicroUsd(5)));
        assert_eq!(meter.count(&spent(100, Some(5))).cost, Some(MicroUsd(0)));
        assert_eq!(meter.count(&spent(130, Some(9))).usage.input, 30);
        assert_eq!((meter.usage.input, meter.cost), (130, MicroUsd(9)));
    }

    #[test]
    fn resumes_and_forks_go_on_from_where_the_conversation_was() {
        let mut meter = Meter::default();
        meter.begin(&Start::default());
        meter.count(&spent(100, Some(10)));
        meter.begin(&resumed(&meter, false));
        meter.count(&spent(150, Some(14)));
        meter.begin(&resumed(&meter, true));
        meter.count(&spent(160, Some(15)));
        assert_eq!((meter.usage.input, meter.cost), (160, MicroUsd(15)));
        // Another coding agent, from the beginning.
        meter.begin(&Start::default());
        meter.count(&spent(7, None));
        assert_eq!((meter.usage.input, meter.cost, meter.tokens()), (167, MicroUsd(15), 167));
    }

    #[test]
    fn a_counter_that_fell_was_begun_anew() {
        let mut meter = Meter::default();
        meter.count(&spent(100, Some(10)));
        assert_eq!(
            meter.count(&spent(4, Some(1))),
            Used { usage: Usage { input: 4, ..Usage::default() }, cost: Some(MicroUsd(1)) }
        );
        assert_eq!(meter.cost, MicroUsd(11));
    }

    #[test]
    fn a_silent_price_does_not_make_money_count_twice() {
        let mut meter = Meter::default();
        meter.count(&spent(100, Some(10)));
        meter.count(&spent(110, None));
        assert_eq!(meter.count(&spent(120, Some(12))).cost, Some(MicroUsd(2)));
    }

    #[test]
    fn tools_and_turns_are_counted_when_they_end() {
        let mut meter = Meter::default();
        let (id, tail) = (String::new(), String::new());
        meter.count(&CoderEvent::ToolStarted { id: id.clone(), tool: String::new(), summary: String::new() });
        meter.count(&CoderEvent::ToolFinished { id, ok: false, tail });
        meter.count(&CoderEvent::Finished { end: CoderEnd::Interrupted });
        assert_eq!((meter.iterations, meter.rounds), (1, 1));
    }
}
