//! The arithmetic of budgets: whether one more model call fits. What was spent is the store's to know, and the clock is
//! the caller's to read.

use std::{fmt, time::Duration};

use types::MicroUsd;

/// What the owner set. An absent limit does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Money for one task.
    pub task: Option<MicroUsd>,
    /// Money for one UTC day.
    pub day: Option<MicroUsd>,
    /// Money for one UTC month.
    pub month: Option<MicroUsd>,
    /// Model calls of one task.
    pub steps: u32,
    /// Tokens of one task, input and output together.
    pub tokens: Option<u64>,
    /// Duration of one task.
    pub wall: Option<Duration>,
}

/// What has been used; money includes open reservations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Money of this task.
    pub task: MicroUsd,
    /// Money of this UTC day.
    pub day: MicroUsd,
    /// Money of this UTC month.
    pub month: MicroUsd,
    /// Model calls of this task.
    pub steps: u32,
    /// Tokens of this task.
    pub tokens: u64,
    /// How long this task has run.
    pub wall: Duration,
}

/// Whose money ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// The task's.
    Task,
    /// The day's.
    Day,
    /// The month's.
    Month,
}

/// Which limit stands in the way. Shown to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Money.
    #[error("the budget of {limit} for {purse} does not allow another {reserve}: {spent} is spent")]
    Money {
        /// Whose.
        purse: Purse,
        /// The limit.
        limit: MicroUsd,
        /// What is spent already.
        spent: MicroUsd,
        /// What the next call may cost at most.
        reserve: MicroUsd,
    },
    /// Model calls.
    #[error("the task has used all of its {limit} steps")]
    Steps {
        /// The limit.
        limit: u32,
    },
    /// Tokens.
    #[error("the task has used {spent} tokens of its {limit}")]
    Tokens {
        /// The limit.
        limit: u64,
        /// What is used.
        spent: u64,
    },
    /// Time.
    #[error("the task has run for its {} seconds", .limit.as_secs())]
    Wall {
        /// The limit.
        limit: Duration,
    },
}

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "one task",
            Self::Day => "one day",
            Self::Month => "one month",
        })
    }
}

/// Whether another model call that costs at most `reserve` fits.
pub fn check(limits: &Limits, spent: &Spent, reserve: MicroUsd) -> Result<(), Exceeded> {
    if spent.steps >= limits.steps {
        return Err(Exceeded::Steps { limit: limits.steps });
    }
    check_running(limits, spent)?;
    for (purse, limit, used) in purses(limits, spent) {
        if let Some(limit) = limit
            && used.plus(reserve) > limit
        {
            return Err(Exceeded::Money { purse, limit, spent: used, reserve });
        }
    }
    Ok(())
}

/// The limits that also hold between model calls: tokens and time.
pub fn check_running(limits: &Limits, spent: &Spent) -> Result<(), Exceeded> {
    if let Some(limit) = limits.tokens
        && spent.tokens >= limit
    {
        return Err(Exceeded::Tokens { limit, spent: spent.tokens });
    }
    if let Some(limit) = limits.wall
        && spent.wall >= limit
    {
        return Err(Exceeded::Wall { limit });
    }
    Ok(())
}

/// The most that may be reserved; none when money is not limited.
pub fn affordable(limits: &Limits, spent: &Spent) -> Option<MicroUsd> {
    purses(limits, spent).into_iter().filter_map(|(_, limit, used)| Some(limit?.minus(used))).min()
}

fn purses(limits: &Limits, spent: &Spent) -> [(Purse, Option<MicroUsd>, MicroUsd); 3] {
    [
        (Purse::Task, limits.task, spent.task),
        (Purse::Day, limits.day, spent.day),
        (Purse::Month, limits.month, spent.month),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        task: Some(MicroUsd(100)),
        day: Some(MicroUsd(200)),
        month: None,
        steps: 3,
        tokens: Some(1000),
        wall: Some(Duration::from_secs(60)),
    };

    fn verdict(spent: Spent, reserve: u64) -> String {
        check(&LIMITS, &spent, MicroUsd(reserve)).map_or_else(|exceeded| exceeded.to_string(), |()| "fits".to_owned())
    }

    #[test]
    fn each_limit_holds_at_its_edge() {
        let spent = |task, day, steps, tokens, wall| Spent {
            task: MicroUsd(task),
            day: MicroUsd(day),
            month: MicroUsd(u64::MAX),
            steps,
            tokens,
            wall: Duration::from_secs(wall),
        };
        assert_eq!(verdict(spent(50, 150, 2, 999, 59), 50), "fits");
        assert_eq!(
            verdict(spent(50, 50, 2, 999, 59), 51),
            "the budget of $0.0001 for one task does not allow another $0.0001: $0.0001 is spent"
        );
        assert!(verdict(spent(0, 150, 0, 0, 0), 51).contains("one day"));
        assert_eq!(verdict(spent(0, 0, 3, 0, 0), 0), "the task has used all of its 3 steps");
        assert_eq!(verdict(spent(0, 0, 0, 1000, 0), 0), "the task has used 1000 tokens of its 1000");
        assert_eq!(verdict(spent(0, 0, 0, 0, 60), 0), "the task has run for its 60 seconds");
    }

    proptest! {
        #[test]
        fn money_is_never_exceeded(
            task in proptest::option::of(0u64..1000),
            day in proptest::option::of(0u64..1000),
            month in proptest::option::of(0u64..1000),
            calls in proptest::collection::vec((0u64..200, 0u64..=100), 0..40),
        ) {
            let limits = Limits {
                task: task.map(MicroUsd), day: day.map(MicroUsd), month: month.map(MicroUsd),
                steps: u32::MAX, tokens: None, wall: None,
            };
            let mut spent = Spent::default();
            for (reserve, share) in calls {
                let fits = check(&limits, &spent, MicroUsd(reserve)).is_ok();
                prop_assert_eq!(fits, affordable(&limits, &spent).is_none_or(|most| MicroUsd(reserve) <= most));
                if fits {
                    let cost = MicroUsd(reserve * share / 100);
                    spent = Spent { task: spent.task.plus(cost), day: spent.day.plus(cost), month: spent.month.plus(cost), ..spent };
                }
                prop_assert!(limits.task.is_none_or(|limit| spent.task <= limit));
                prop_assert!(limits.day.is_none_or(|limit| spent.day <= limit));
                prop_assert!(limits.month.is_none_or(|limit| spent.month <= limit));
            }
        }
    }
}
