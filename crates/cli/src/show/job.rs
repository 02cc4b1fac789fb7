//! How jobs are shown.

use types::{JobState, JobView};

use super::time;

/// One line of the list.
pub fn job_line(job: &JobView) -> String {
    let brief = job.spec.brief.lines().next().unwrap_or_default();
    let brief: String = brief.chars().take(60).collect();
    let line = format!(
        "{:>4}  {}  {} in {}  {} rounds, {} tools, {}  {brief}",
        job.id,
        state(&job.state),
        job.coder,
        job.spec.workspace,
        job.rounds,
        job.iterations,
        job.cost
    );
    daemon::terminal::neutral(&line)
}

/// One job with what is known of it.
pub fn job(job: &JobView) -> String {
    let mut lines = vec![job_line(job), format!("session {}, asked for {}", job.session, time(job.created_at))];
    match (&job.report, &job.last) {
        (Some(report), _) => lines.push(report.clone()),
        (None, Some(last)) => lines.push(format!("last: {last}")),
        (None, None) => {}
    }
    if let (Some(check), None) = (&job.last_check, &job.report) {
        lines.push(format!("the end of the last check:\n{}", check.trim_end()));
    }
    daemon::terminal::neutral(&lines.join("\n"))
}

fn state(state: &JobState) -> &'static str {
    match state {
        JobState::Queued => "waits",
        JobState::Preparing => "prepares",
        JobState::Working => "works",
        JobState::Asking => "asks",
        JobState::TakenOver => "yours",
        JobState::Checking => "checks",
        JobState::Landing => "lands",
        JobState::Ended { end } => match end {
            types::JobEnd::Done => "done",
            types::JobEnd::Stopped => "stopped",
            types::JobEnd::Limit { .. } => "limit",
            types::JobEnd::NoProgress { .. } => "stuck",
            types::JobEnd::Failed { .. } => "failed",
        },
    }
}
