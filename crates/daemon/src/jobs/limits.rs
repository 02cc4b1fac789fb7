//! When a job is given up. Pure: what was used and the time are the caller's to know.

use std::time::Duration;

use policy::budget::{self, Exceeded, Purse};
use store::{Job, JobMemory};
use types::{JobState, MicroUsd, Timestamp};

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
    let minutes = worked(job, now).as_secs() / 60;
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

/// Whether a job in this state waits for the owner, or is in their hands. That time is not the job's.
pub(super) fn is_with_owner(state: &JobState) -> bool {
    match state {
        JobState::Asking | JobState::TakenOver => true,
        JobState::Queued
        | JobState::Preparing
        | JobState::Working
        | JobState::Checking
        | JobState::Landing
        | JobState::Ended { .. } => false,
    }
}

/// Counts the time in which a question of a job's landing waits for the owner. True when that begins or ends.
pub(super) fn wait_for_owner(memory: &mut JobMemory, is_asked: bool, now: Timestamp) -> bool {
    match (is_asked, memory.asking_since) {
        (true, None) => memory.asking_since = Some(now),
        (false, Some(since)) => {
            let waited = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
            memory.waited_ms = memory.waited_ms.saturating_add(waited);
            memory.asking_since = None;
        }
        (true, Some(_)) | (false, None) => return false,
    }
    true
}

/// How long a job has run since it was last asked for, without the time in which the owner had it.
fn worked(job: &Job, now: Timestamp) -> Duration {
    let memory = &job.memory;
    let mut waited = Duration::from_millis(memory.waited_ms);
    let since = is_with_owner(&job.state).then_some(memory.moved_at).or(memory.asking_since);
    if let Some(since) = since {
        waited = waited.saturating_add(now.since(since));
    }
    now.since(memory.since.at).saturating_sub(waited)
}

/// All tokens of a job, input and output together.
pub(super) fn tokens(job: &Job) -> u64 {
    let usage = job.memory.used.usage;
    usage.context().saturating_add(usage.output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::tests::job;

    #[test]
    fn minutes_with_the_owner_are_not_the_jobs() {
        let minute = |number: i64| Timestamp(number * 60_000);
        let mut job = job();
        job.memory.since.at = minute(10);
        job.memory.waited_ms = 5 * 60_000;
        assert_eq!(worked(&job, minute(20)), Duration::from_secs(5 * 60));
        job.memory.moved_at = minute(18);
        for state in [JobState::Asking, JobState::TakenOver] {
            job.state = state;
            assert_eq!(worked(&job, minute(20)), Duration::from_secs(3 * 60));
            assert_eq!(worked(&job, minute(500)), Duration::from_secs(3 * 60));
        }
        job.spec.limits.minutes = 3;
        let limits = budget::Limits { task: None, day: None, month: None, steps: 1, tokens: None, wall: None };
        let reached = |job: &Job| reached(job, &limits, Spending::default(), minute(500));
        assert_eq!(reached(&job).as_deref(), Some("it has run for its 3 minutes"));
        job.spec.limits.minutes = 4;
        assert_eq!(reached(&job), None, "however long the owner takes");
    }

    #[test]
    fn minutes_in_which_a_question_of_the_landing_waits_are_not_the_jobs() {
        let minute = |number: i64| Timestamp(number * 60_000);
        let mut job = job();
        (job.state, job.memory.since.at) = (JobState::Landing, minute(10));
        assert_eq!(worked(&job, minute(20)), Duration::from_secs(10 * 60));
        assert!(wait_for_owner(&mut job.memory, true, minute(20)));
        // Another daemon finds it waiting.
        assert!(!wait_for_owner(&mut job.memory, true, minute(300)));
        assert_eq!(worked(&job, minute(300)), Duration::from_secs(10 * 60));
        assert!(wait_for_owner(&mut job.memory, false, minute(500)));
        assert!(!wait_for_owner(&mut job.memory, false, minute(501)));
        assert_eq!(worked(&job, minute(501)), Duration::from_secs(11 * 60));
    }
}
