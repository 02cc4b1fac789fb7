//! What an audit says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::Invariant;

/// How bad a finding is, from good to know to act now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// A second line of defence is missing.
    Low,
    /// An attacker needs one more mistake.
    Medium,
    /// An attacker needs no more than the model's obedience.
    High,
    /// A promise is broken.
    Critical,
}

impl Severity {
    /// The exit code of an audit whose worst finding is this.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Info => 0,
            Self::Low => 10,
            Self::Medium => 11,
            Self::High => 12,
            Self::Critical => 13,
        }
    }
}

/// Something that is wrong, or could be better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A stable name, such as `home.permissions`.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// What an attacker gains by it.
    pub gain: String,
    /// What to do, exactly.
    pub fix: String,
    /// True when `--fix` mended it just now.
    pub fixed: bool,
}

impl Finding {
    /// A finding that was not mended.
    pub(super) fn new(
        id: &str,
        severity: Severity,
        found: impl Into<String>,
        gain: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { id: id.to_owned(), severity, found: found.into(), gain: gain.into(), fix: fix.into(), fixed: false }
    }
}

/// What came of an attempted attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was tried and withstood.
    Held {
        /// What was tried, with numbers.
        tried: String,
    },
    /// It succeeded.
    Broken {
        /// What got through.
        how: String,
    },
    /// It could not be tried here, so nothing is known.
    NotTried {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// Withstood.
    pub(super) fn held(tried: impl Into<String>) -> Self {
        Self::Held { tried: tried.into() }
    }

    /// Succeeded.
    pub(super) fn broken(how: impl Into<String>) -> Self {
        Self::Broken { how: how.into() }
    }

    /// Broken if there is anything in the list, else held.
    pub(super) fn unless(broken: &[String], tried: impl Into<String>) -> Self {
        match broken.first() {
            None => Self::held(tried),
            Some(first) if broken.len() == 1 => Self::broken(first.clone()),
            Some(first) => Self::broken(format!("{first}; and {} more", broken.len() - 1)),
        }
    }
}

/// An attack that was attempted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempted {
    /// A stable name, such as `approval.replay`.
    pub id: String,
    /// The number of the invariant in `docs/invariants.md` that it attacks.
    pub invariant: u8,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Attempted {
    pub(super) fn new(id: &str, invariant: Invariant, outcome: Outcome) -> Self {
        Self { id: id.to_owned(), invariant: invariant as u8, outcome }
    }
}

/// All that an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Every attack, in the order of the invariants.
    pub attempts: Vec<Attempted>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The severity of the worst finding that was not mended; none when there is none.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|finding| !finding.fixed).map(|finding| finding.severity).max()
    }

    /// The exit code that tells a script.
    pub fn exit_code(&self) -> u8 {
        self.worst().map_or(0, Severity::exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mended_no_longer_counts() {
        let mut finding = Finding::new("home.permissions", Severity::High, "f", "g", "x");
        let report = |finding: &Finding| Report { attempts: Vec::new(), findings: vec![finding.clone()] };
        assert_eq!(report(&finding).exit_code(), 12);
        finding.fixed = true;
        assert_eq!(report(&finding).exit_code(), 0);
    }

    #[test]
    fn graver_findings_have_higher_codes() {
        let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        assert!(all.windows(2).all(|pair| pair[0] < pair[1] && pair[0].exit_code() < pair[1].exit_code()));
    }

    #[test]
    fn an_outcome_is_one_flat_object() {
        let attempted = Attempted::new("a.b", Invariant::NoSilentSend, Outcome::broken("x"));
        let value = serde_json::to_value(attempted).expect("it is JSON");
        assert_eq!(value, serde_json::json!({"id": "a.b", "invariant": 5, "outcome": "broken", "how": "x"}));
    }
}
