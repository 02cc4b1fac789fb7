//! `factotum security audit`: attacks attempted, settings and machine looked at.

use daemon::security::{AuditOptions, Finding, Outcome, Report, Severity, audit};
use daemon::terminal::neutral;

use crate::{args::Context, error::Stop, runtime};

/// Attempts the attacks that factotum promises to withstand, and looks for what is unsafe.
#[derive(Debug, clap::Args)]
pub struct Security {
    #[command(subcommand)]
    what: What,
}

/// What can be asked about security.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Attempt the attacks, look at settings and machine; exits with 10 to 13 by the worst finding (low to critical)
    Audit(Audit),
}

/// Everything happens in scratch directories of its own, with your sandbox settings; nothing is sent off the machine.
#[derive(Debug, clap::Args)]
struct Audit {
    /// Mend what needs no decision of yours, such as permissions
    #[arg(long)]
    fix: bool,
    /// Only what begins with this id, or the attacks on the invariant of this number
    #[arg(long, value_name = "ID")]
    only: Option<String>,
}

impl Security {
    /// Audits.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let What::Audit(Audit { fix, only }) = self.what;
        runtime::serve(async {
            let report = audit(&context.home, &AuditOptions { fix, only }).await;
            context.output.fact(&report, in_words)?;
            match report.exit_code() {
                0 => Ok(()),
                code => Err(Stop::Verdict(code)),
            }
        })
    }
}

fn in_words(report: &Report) -> String {
    let mut lines = Vec::new();
    for attempt in &report.attempts {
        let (mark, text) = match &attempt.outcome {
            Outcome::Held { tried } => ("held     ", tried),
            Outcome::Broken { how } => ("BROKEN   ", how),
            Outcome::NotTried { why } => ("not tried", why),
        };
        lines.push(format!("{mark} {:>2} {}: {}", attempt.invariant, attempt.id, neutral(text)));
    }
    lines.extend(report.findings.iter().map(finding));
    lines.push(verdict(report));
    lines.join("\n")
}

fn finding(finding: &Finding) -> String {
    let mark = if finding.fixed { "mended" } else { severity(finding.severity) };
    format!(
        "\n{mark}: {} ({})\n  what an attacker gains: {}\n  what to do: {}",
        neutral(&finding.found),
        finding.id,
        neutral(&finding.gain),
        neutral(&finding.fix)
    )
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

fn verdict(report: &Report) -> String {
    let held = report.attempts.iter().filter(|attempt| matches!(attempt.outcome, Outcome::Held { .. })).count();
    let open = report.findings.iter().filter(|finding| !finding.fixed && finding.severity > Severity::Info).count();
    format!("\n{held} of {} attacks held; {open} findings", report.attempts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_an_attacker_gains_and_what_to_do() {
        let report: Report = serde_json::from_value(serde_json::json!({
            "attempts": [{"id": "a.b", "invariant": 5, "outcome": "held", "tried": "three ways"}],
            "findings": [{
                "id": "home.permissions", "severity": "high", "found": "others may read x", "gain": "all",
                "fix": "chmod", "fixed": false
            }],
        }))
        .expect("the report is well formed");
        insta::assert_snapshot!(in_words(&report));
    }
}
