//! The sandbox's self-test: it runs after readiness, in the background, and unattended work waits for it.

use std::sync::Arc;

use sandbox::{CanaryReport, Outcome, QuotaKind, SandboxConfig};
use tokio::sync::watch;
use types::{Event, Level};

use crate::{api::views::CanaryView, core::Core};

/// Runs the list of escapes inside a real sandbox and publishes what came of it.
pub(crate) async fn run(core: Arc<Core>, state: watch::Sender<CanaryView>) {
    let config = core.live().config.sandbox.clone();
    let stopping = core.phases.stopping.clone();
    let result = tokio::select! {
        () = stopping.cancelled() => return,
        tested = core.tasks.spawn(async move { test(&config).await }) => tested.unwrap_or_else(|_| {
            CanaryView::Failed { error: "the self-test itself broke off".to_owned() }
        }),
    };
    if let CanaryView::Failed { error } = &result {
        tracing::error!(%error, "the sandbox failed its self-test; unattended work is refused");
        let text = format!("the sandbox failed its self-test, so unattended work is refused: {error}");
        let notice = Event::Notice { level: Level::Error, text };
        if let Err(error) = core.store.transact(move |tx| tx.record(None, None, notice)).await {
            tracing::error!(%error, "the notice could not be stored");
        }
    }
    state.send_replace(result);
}

/// Runs the list and says what came of it.
pub(crate) async fn test(config: &SandboxConfig) -> CanaryView {
    match sandbox::canary(config).await {
        Ok(report) => judge(&report),
        Err(error) => {
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            CanaryView::Failed { error: format!("{error}{hint}") }
        }
    }
}

fn judge(report: &CanaryReport) -> CanaryView {
    let escaped: Vec<&str> =
        report.rows.iter().filter(|row| matches!(row.outcome, Outcome::Escaped)).map(|row| row.what.as_ref()).collect();
    match escaped.first() {
        None => CanaryView::Held {
            attempts: report.rows.len(),
            quota: quota(report.quota).to_owned(),
            is_bounded: report.quota != QuotaKind::RlimitsOnly,
        },
        Some(first) => {
            CanaryView::Failed { error: format!("{} of the attempts got out, first: {first}", escaped.len()) }
        }
    }
}

/// What to do where no control group can be made.
pub(crate) const UNBOUNDED: &str = "run it where it may make control groups: as a systemd service with `Delegate=yes`, or \
     from a login shell with `systemd-run --user --scope -p Delegate=yes factotum up`";

fn quota(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::V2 => "cgroup v2",
        QuotaKind::V1 => "cgroup v1",
        QuotaKind::RlimitsOnly => "resource limits only, per process",
    }
}
