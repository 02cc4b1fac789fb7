//! When spending is out of the ordinary: the arithmetic of alarms. What was spent is the store's to know, and what an
//! alarm leads to is the caller's affair.

use std::{fmt, time::Duration};

use types::MicroUsd;

/// Fewer tasks or hours than this are no history to compare with.
const SHORTEST_HISTORY: usize = 5;

/// What one task or one hour used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Used {
    /// Money, open reservations included.
    pub money: MicroUsd,
    /// Tokens, input and output together.
    pub tokens: u64,
    /// Model calls.
    pub steps: u64,
    /// Bytes that went out to the network.
    pub bytes_up: u64,
    /// Calls in a row that were not allowed.
    pub denied: u64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Money.
    Money,
    /// Tokens.
    Tokens,
    /// Model calls.
    Steps,
    /// Bytes that went out.
    BytesUp,
    /// Calls in a row that were not allowed.
    Denied,
}

/// All measures.
const ALL: [Measure; 5] = [Measure::Money, Measure::Tokens, Measure::Steps, Measure::BytesUp, Measure::Denied];

/// The owner's rules for one kind of period: a task, or an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// So many times the median of its history is out of the ordinary; none: history does not count.
    pub multiple: Option<f64>,
    /// Below this it never is, however short the history. Zero: no measure is compared with its history.
    pub floor: Used,
    /// Above this it always is. Zero: no fixed bound.
    pub fixed: Used,
}

/// All of the owner's rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// For a task.
    pub task: Rule,
    /// For an hour of all tasks together.
    pub hour: Rule,
    /// How long a paused task waits for the owner. After that it is stopped.
    pub patience: Duration,
}

impl Rules {
    /// No alarms.
    pub const OFF: Self = Self {
        task: Rule { multiple: None, floor: Used::ZERO, fixed: Used::ZERO },
        hour: Rule { multiple: None, floor: Used::ZERO, fixed: Used::ZERO },
        patience: Duration::from_secs(0),
    };
}

impl Used {
    /// Nothing.
    pub const ZERO: Self = Self { money: MicroUsd(0), tokens: 0, steps: 0, bytes_up: 0, denied: 0 };

    /// One measure as a number.
    pub fn get(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Money => self.money.0,
            Measure::Tokens => self.tokens,
            Measure::Steps => self.steps,
            Measure::BytesUp => self.bytes_up,
            Measure::Denied => self.denied,
        }
    }
}

/// Something is out of the ordinary. Shown to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusual {
    /// What.
    pub measure: Measure,
    /// How much of it.
    pub used: u64,
    /// The bound that it passed.
    pub bound: u64,
    /// The median that the bound comes from; none where it is a fixed one.
    pub median: Option<u64>,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |number: u64| match self.measure {
            Measure::Money => MicroUsd(number).to_string(),
            Measure::Tokens => format!("{number} tokens"),
            Measure::Steps => format!("{number} model calls"),
            Measure::BytesUp => format!("{number} bytes sent out"),
            Measure::Denied => format!("{number} calls in a row that were not allowed"),
        };
        write!(f, "{}, over the bound of {}", amount(self.used), amount(self.bound))?;
        match self.median {
            Some(median) => write!(f, " (usual are {})", amount(median)),
            None => Ok(()),
        }
    }
}

/// The first measure that is out of the ordinary. `accepted` is what the owner has been told of and let pass: after that,
/// only twice as much is told again.
pub fn judge(rule: &Rule, history: &[Used], used: &Used, accepted: &Used) -> Option<Unusual> {
    ALL.into_iter().find_map(|measure| {
        let (bound, median) = bound(rule, history, measure)?;
        let let_pass = accepted.get(measure).saturating_mul(2);
        let (bound, median) = if let_pass > bound { (let_pass, None) } else { (bound, median) };
        let used = used.get(measure);
        (used > bound).then_some(Unusual { measure, used, bound, median })
    })
}

/// The bound of one measure, and the median that it comes from; none where there is none.
fn bound(rule: &Rule, history: &[Used], measure: Measure) -> Option<(u64, Option<u64>)> {
    let fixed = Some(rule.fixed.get(measure)).filter(|fixed| *fixed > 0);
    let floor = Some(rule.floor.get(measure)).filter(|floor| *floor > 0);
    let usual = rule.multiple.zip(floor).zip(median(history, measure)).map(|((multiple, floor), median)| {
        // The cast saturates, and maps what is no number to 0, which the floor mends.
        (((median as f64 * multiple) as u64).max(floor), Some(median))
    });
    match (fixed, usual) {
        (Some(fixed), Some((usual, median))) if usual < fixed => Some((usual, median)),
        (Some(fixed), _) => Some((fixed, None)),
        (None, usual) => usual,
    }
}

fn median(history: &[Used], measure: Measure) -> Option<u64> {
    if history.len() < SHORTEST_HISTORY {
        return None;
    }
    let mut all: Vec<u64> = history.iter().map(|used| used.get(measure)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// Why work without the owner may not begin: nobody has been heard of for too long, or it has cost too much since. None
/// where it may. `silent` is how long the owner has not written, `spent` what such work has cost since.
pub fn dead_man(
    longest: Option<Duration>,
    most: Option<MicroUsd>,
    silent: Duration,
    spent: MicroUsd,
) -> Option<String> {
    if longest.is_some_and(|longest| silent >= longest) {
        return Some(format!(
            "you have not written for {} hours; write anything to let it go on",
            silent.as_secs() / 3_600
        ));
    }
    if most.is_some_and(|most| spent >= most) {
        return Some(format!("work without you has cost {spent} since you last wrote; write anything to let it go on"));
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(amount: u64) -> Used {
        Used { money: MicroUsd(amount), ..Used::ZERO }
    }

    const RULE: Rule = Rule {
        multiple: Some(5.0),
        floor: Used { money: MicroUsd(1_000), ..Used::ZERO },
        fixed: Used { money: MicroUsd(50_000), steps: 80, denied: 5, ..Used::ZERO },
    };

    #[test]
    fn a_multiple_of_the_median_and_a_fixed_sum_are_out_of_the_ordinary() {
        let history = [money(500), money(900), money(600), money(90_000), money(700)];
        let check =
            |history: &[Used], used: u64| judge(&RULE, history, &money(used), &Used::ZERO).map(|it| it.to_string());
        assert_eq!(check(&history, 3_500), None);
        assert_eq!(check(&history, 3_501).as_deref(), Some("$0.0035, over the bound of $0.0035 (usual are $0.0007)"));
        assert_eq!(check(&history[..4], 50_000), None, "four tasks are no history");
        assert_eq!(check(&history[..4], 50_001).as_deref(), Some("$0.0500, over the bound of $0.0500"));
        assert_eq!(check(&[money(1); 9], 1_000), None, "below the floor");
        let denied = judge(&RULE, &[], &Used { denied: 6, ..Used::ZERO }, &Used::ZERO);
        assert_eq!(denied.map(|it| it.measure), Some(Measure::Denied));
    }

    #[test]
    fn silence_and_cost_end_work_without_the_owner() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let check = |silent, spent| dead_man(Some(hours(72)), Some(MicroUsd(100)), hours(silent), MicroUsd(spent));
        assert_eq!(check(71, 99), None);
        assert!(check(72, 0).is_some_and(|why| why.contains("72 hours")));
        assert!(check(0, 100).is_some_and(|why| why.contains("has cost")));
        assert_eq!(dead_man(None, None, hours(9_999), MicroUsd(u64::MAX)), None);
    }

    fn any_used() -> impl Strategy<Value = Used> {
        (0u64..10_000, 0u64..10_000, 0u64..100, 0u64..10_000, 0u64..10).prop_map(
            |(money, tokens, steps, bytes_up, denied)| Used { money: MicroUsd(money), tokens, steps, bytes_up, denied },
        )
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        (proptest::option::of(1.0f64..20.0), any_used(), any_used()).prop_map(|(multiple, floor, fixed)| Rule {
            multiple,
            floor,
            fixed,
        })
    }

    proptest! {
        #[test]
        fn more_is_never_more_usual(
            rule in any_rule(), history in proptest::collection::vec(any_used(), 0..25), used in any_used(), more in any_used(),
        ) {
            let sum = Used {
                money: used.money.plus(more.money), tokens: used.tokens + more.tokens, steps: used.steps + more.steps,
                bytes_up: used.bytes_up + more.bytes_up, denied: used.denied + more.denied,
            };
            if judge(&rule, &history, &used, &Used::ZERO).is_some() {
                prop_assert!(judge(&rule, &history, &sum, &Used::ZERO).is_some());
            }
        }

        #[test]
        fn what_was_let_pass_is_not_told_again_until_it_doubles(
            rule in any_rule(), history in proptest::collection::vec(any_used(), 0..25), used in any_used(),
        ) {
            prop_assert_eq!(judge(&rule, &history, &used, &used), None);
            if let Some(found) = judge(&rule, &history, &used, &Used::ZERO) {
                prop_assert!(found.used > found.bound && found.used == used.get(found.measure));
                let fixed = rule.fixed.get(found.measure);
                prop_assert!(fixed == 0 || found.bound <= fixed);
                prop_assert!(found.median.is_none() || found.bound >= rule.floor.get(found.measure));
            }
        }

        #[test]
        fn a_fixed_bound_holds_whatever_the_history(
            rule in any_rule(), history in proptest::collection::vec(any_used(), 0..25), used in any_used(),
        ) {
            for measure in ALL {
                let fixed = rule.fixed.get(measure);
                if fixed > 0 && used.get(measure) > fixed {
                    prop_assert!(judge(&rule, &history, &used, &Used::ZERO).is_some());
                }
            }
        }
    }
}
