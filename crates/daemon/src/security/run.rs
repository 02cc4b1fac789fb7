//! The order of an audit, and how attempts become findings.

use std::path::Path;

use types::Invariant;

use super::{
    Attempted, Finding, Outcome, Report, Severity,
    attempts::{self, Attempt, Surroundings},
    checks,
};
use crate::{Config, offline};

/// What to audit.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// Only attempts and checks whose id begins with this, or the attempts on the invariant of this number.
    pub only: Option<String>,
    /// Mend what can be mended without a decision of the owner.
    pub fix: bool,
}

/// Audits a home. It needs no running daemon; one that runs is looked at as well.
pub async fn audit(home: &Path, options: &AuditOptions) -> Report {
    let config = Config::load(&offline::config_path(home));
    let in_force = config.as_ref().ok().cloned().unwrap_or_default();
    let surroundings = Surroundings::new(home.to_owned(), in_force, std::env::temp_dir());
    let mut attempted = Vec::new();
    for attempt in attempts::ALL.iter().filter(|attempt| is_wanted(options, attempt)) {
        attempted.push(Attempted::new(attempt.id, attempt.invariant, tried(attempt, &surroundings).await));
    }
    let mut findings: Vec<Finding> = attempted.iter().filter_map(finding_of).collect();
    findings.extend(checks::run(home, config.as_ref(), options).await);
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.id.clone()));
    Report { attempts: attempted, findings }
}

fn is_wanted(options: &AuditOptions, attempt: &Attempt) -> bool {
    match &options.only {
        None => true,
        Some(only) => attempt.id.starts_with(only.as_str()) || only.parse() == Ok(attempt.invariant as u8),
    }
}

async fn tried(attempt: &Attempt, surroundings: &Surroundings) -> Outcome {
    // The audit's own promise: what it reports it has tried. The attempt on this promise notices when it does not.
    if Invariant::AuditHonest.is_broken() && attempt.invariant != Invariant::AuditHonest {
        return Outcome::held("nothing");
    }
    match tokio::time::timeout(attempts::PATIENCE, (attempt.run)(surroundings)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::NotTried { why: format!("it did not end within {} s", attempts::PATIENCE.as_secs()) },
    }
}

fn finding_of(attempted: &Attempted) -> Option<Finding> {
    let attempt = attempts::ALL.iter().find(|attempt| attempt.id == attempted.id)?;
    match &attempted.outcome {
        Outcome::Held { .. } => None,
        Outcome::Broken { how } => Some(Finding::new(
            attempt.id,
            Severity::Critical,
            format!("an attack succeeded: {how}"),
            attempt.gain,
            attempt.fix,
        )),
        Outcome::NotTried { why } => Some(Finding::new(
            attempt.id,
            attempt.unknown,
            format!("the attack could not be tried: {why}"),
            format!("unknown; if it works: {}", attempt.gain),
            attempt.fix,
        )),
    }
}
