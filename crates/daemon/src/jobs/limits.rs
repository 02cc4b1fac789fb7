//! When a job is given up. Pure: what was used and the time are the caller's to know.

use policy::budget::{self, Exceeded, Purse};
use store::Job;
use types::{MicroUsd, Timestamp};

/// What was spent besides, for the limits that hold over all tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spending {
    /// In this UTC day.
    pub day: MicroUsd,
    /// In this UTC month.
    pub month: MicroUsd,
}

/// The limit that stands in the way of going on, in a sentence.
pub(super) fn reached(job: &Job, budget: &budget::Limits, spending: Spending, now: Timestamp) -> Option<String> {
    let (limits, memory) = (&job.spec.limits, &job.memory);
    let since = &memory.since;
    let iterations = memory.iterations.saturating_sub(since.iterations);
    if iterations >= limits.iterations {
        return Some(format!("it has used {iterations} tools of its {}", limits.iterations));
    }
    let tokens = tokens(job).saturating_sub(since.tokens);
    if let Some(limit) = limits.tokens
        && tokens >= limit
    {
        return Some(format!("it has used {tokens} tokens of its {limit}"));
    }
    let minutes = now.since(since.at).as_secs() / 60;
    if minutes >= limits.minutes {
        return Some(format!("it has run for its {} minutes", limits.minutes));
    }
    let cost = memory.used.cost.minus(since.cost);
    let purses = [
        (Purse::Task, limits.cost.or(budget.task), cost),
        (Purse::Day, budget.day, spending.day),
        (Purse::Month, budget.month, spending.month),
    ];
    purses.into_iter().find_map(|(purse, limit, spent)| {
        let limit = limit.filter(|limit| spent >= *limit)?;
        Some(Exceeded::Money { purse, limit, spent, reserve: MicroUsd(0) }.to_string())
    })
}

/// The limit that stands in the way of another prompt.
pub(super) fn before_round(job: &Job) -> Option<String> {
    let rounds = job.memory.rounds.saturating_sub(job.memory.since.rounds);
    (rounds >= job.spec.limits.rounds).then(|| format!("it has had {rounds} rounds of its {}", job.spec.limits.rounds))
}

/// All tokens of a job, input and output together.
pub(super) fn tokens(job: &Job) -> u64 {
    let usage = job.memory.used.usage;
    usage.context().saturating_add(usage.output)
}
