//! `factotum doctor`: what is wrong, and what to do.

use daemon::{
    api::views::{Check, CheckState},
    offline,
};
use serde_json::Value;
use types::{Failure, FailureKind};

use crate::{
    args::Context,
    error::{Stop, task},
    runtime,
};

/// The check that takes a time instead of a look.
const SANDBOX_START: &str = "sandbox-start";

/// Looks for what is wrong and says what to do: the home, the configuration, the secrets, the sandbox, which it builds
/// and tries to escape from, and a running daemon.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Only the check of this name; `sandbox-start` times the start of one sandbox
    #[arg(long, value_name = "CHECK")]
    only: Option<String>,
}

impl Doctor {
    /// Looks.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::serve(async {
            let only = self.only.as_deref();
            let mut checks = offline::doctor(&context.home, only).await;
            if let ([check], Some(SANDBOX_START)) = (checks.as_slice(), only) {
                return figure(context, check);
            }
            if only.is_none() {
                checks = each_once(checks, running(context).await?);
            }
            context.output.fact(&checks, |checks| in_words(checks))?;
            verdict(&checks)
        })
    }
}

/// The check that takes a time gives it as JSON, for programs that collect figures.
fn figure(context: &Context, check: &Check) -> Result<(), Stop> {
    match serde_json::from_str::<Value>(&check.detail) {
        Ok(figure) => context.output.fact(&figure, |_| in_words(std::slice::from_ref(check))),
        Err(_) => Err(Failure {
            kind: FailureKind::Sandbox,
            error: format!("no sandbox can be started: {}", check.detail),
            hint: check.hint.clone(),
        }
        .into()),
    }
}

/// The checks that only the daemon can make; none when it does not run.
async fn running(context: &Context) -> Result<Vec<Check>, Stop> {
    match context.client().await {
        Ok(client) => Ok(client.doctor().await?),
        Err(failure) if failure.kind == FailureKind::Network => Ok(vec![Check {
            name: "daemon".to_owned(),
            state: CheckState::Skipped,
            detail: "it is not running".to_owned(),
            hint: Some("`factotum up` starts it".to_owned()),
        }]),
        Err(failure) => Err(failure.into()),
    }
}

/// What both looked at is told once: as the daemon saw it, whose sandbox and disk are the ones that count, unless we saw
/// something graver. It made its self-test when it started, or is still at it.
fn each_once(mut ours: Vec<Check>, mut daemons: Vec<Check>) -> Vec<Check> {
    daemons.retain(|check| {
        ours.iter().all(|other| other.name != check.name || gravity(check.state) >= gravity(other.state))
    });
    ours.retain(|check| daemons.iter().all(|other| other.name != check.name));
    ours.extend(daemons);
    ours
}

fn gravity(state: CheckState) -> u8 {
    match state {
        CheckState::Skipped => 0,
        CheckState::Ok => 1,
        CheckState::Warning => 2,
        CheckState::Bad => 3,
    }
}

fn in_words(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = match check.state {
            CheckState::Ok => "ok     ",
            CheckState::Warning => "warning",
            CheckState::Bad => "BAD    ",
            CheckState::Skipped => "skipped",
        };
        let mut line = format!("{mark} {}: {}", check.name, daemon::terminal::neutral(&check.detail));
        if let Some(hint) = &check.hint {
            line.push_str(&format!("\n        {}", daemon::terminal::neutral(hint)));
        }
        line
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn verdict(checks: &[Check]) -> Result<(), Stop> {
    match checks.iter().filter(|check| check.state == CheckState::Bad).count() {
        0 => Ok(()),
        bad => Err(task(format!("{bad} of {} checks found a fault", checks.len()), "see the lines marked BAD").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_of_both_is_shown_once() {
        use CheckState::{Bad, Ok, Skipped};
        let check = |(name, state): (&str, CheckState), detail: &str| Check {
            name: name.to_owned(),
            state,
            detail: detail.to_owned(),
            hint: None,
        };
        let ours = [("home", Ok), ("disk", Ok), ("sandbox", Ok), ("log", Bad), ("clock", Ok)];
        let daemons = [("daemon", Ok), ("sandbox", Skipped), ("disk", Ok), ("log", Ok), ("clock", Bad)];
        let checks = each_once(ours.map(|it| check(it, "ours")).to_vec(), daemons.map(|it| check(it, "its")).to_vec());
        let shown: Vec<String> = checks.iter().map(|check| format!("{} {}", check.name, check.detail)).collect();
        assert_eq!(shown, ["home ours", "sandbox ours", "log ours", "daemon its", "disk its", "clock its"]);
    }

    #[test]
    fn only_a_fault_fails() {
        let check = |state| Check { name: "disk".to_owned(), state, detail: "full".to_owned(), hint: None };
        let fine = [CheckState::Ok, CheckState::Warning, CheckState::Skipped].map(check);
        assert!(verdict(&fine).is_ok());
        assert!(verdict(&[check(CheckState::Ok), check(CheckState::Bad)]).is_err());
        assert_eq!(in_words(&[check(CheckState::Bad)]), "BAD     disk: full");
    }
}
