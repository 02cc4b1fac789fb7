//! How jobs are shown.

use types::{JobPause, JobState, JobView};

use super::time;

/// One line of the list.
pub fn job_line(job: &JobView) -> String {
    let brief = job.spec.brief.lines().next().unwrap_or_default();
    let brief: String = brief.chars().take(60).collect();
    let line = format!(
        "{:>4}  {}  {} in {}  {} rounds, {} tools, {}  {brief}",
        job.id,
        job.pause.as_ref().map_or_else(|| state(&job.state).to_owned(), |pause| short(&job.state, pause)),
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
    lines.extend(job.pause.as_ref().map(pause));
    if job.run.rounds != job.rounds || job.run.cost != job.cost {
        let run = &job.run;
        lines.push(format!(
            "since it was last asked for: {} rounds, {} tools, {}",
            run.rounds, run.iterations, run.cost
        ));
    }
    if let Some(phase) = job.phase {
        let names: Vec<String> = (1_u32..)
            .zip(&job.spec.phases)
            .map(|(number, one)| if number == phase { format!("[{}]", one.name) } else { one.name.clone() })
            .collect();
        lines.push(format!("phase {phase} of {}: {}", names.len(), names.join(", ")));
    }
    match (&job.report, &job.last) {
        (Some(report), _) => lines.push(report.clone()),
        (None, Some(last)) => lines.push(format!("last: {last}")),
        (None, None) => {}
    }
    if job.state == JobState::TakenOver {
        let id = job.id;
        lines.push(format!(
            "its terminal is yours: factotum attach {id} shows it, factotum job handback {id} gives it back"
        ));
    }
    if let (Some(check), None) = (&job.last_check, &job.report) {
        lines.push(format!("the end of the last check:\n{}", check.trim_end()));
    }
    daemon::terminal::neutral(&lines.join("\n"))
}

/// Why it does not go on, since when, and until when.
fn pause(pause: &JobPause) -> String {
    let place = pause.position.map(|place| format!(", number {place} of those that wait")).unwrap_or_default();
    let until = pause.until.map(|until| format!(", until {}", time(until))).unwrap_or_default();
    format!("paused since {}{until}{place}: {}", time(pause.since), pause.why)
}

/// The same in a word or two.
fn short(of: &JobState, pause: &JobPause) -> String {
    match (pause.position, pause.until) {
        (Some(place), _) => format!("{} ({place})", state(of)),
        (None, Some(_)) => "paused".to_owned(),
        (None, None) => state(of).to_owned(),
    }
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
