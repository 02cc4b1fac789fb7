//! What the owner reads of a job, from our own records. What a coding agent said is quoted as its words. Pure.

use std::time::Duration;

use store::Job;
use types::{CoderWord, JobEnd, JobRound, JobState, Place};

use super::{
    limits::tokens,
    prompts::{end_in_words, one_line},
};

/// The most characters of foreign text in one place of a report.
const MAX_SAID: usize = 600;
/// The most rounds that a report lists.
const MAX_ROUNDS: usize = 8;

/// A word between the beginning and the end.
pub(super) fn progress(job: &Job) -> String {
    let memory = &job.memory;
    let last = memory.last.as_deref().map(|last| format!("\nLast: {}", one_line(last, MAX_SAID))).unwrap_or_default();
    format!("Job {}: {}, {} tools, {}.{last}", job.id, round_of(job), memory.iterations, memory.used.cost)
}

fn round_of(job: &Job) -> String {
    format!("round {} of at most {}", job.memory.rounds.saturating_add(1), job.spec.limits.rounds)
}

/// The report of the end.
pub(super) fn end(job: &Job, end: &JobEnd, tried: &[JobRound], took: Duration) -> String {
    let memory = &job.memory;
    let mut lines = vec![format!(
        "Job {} ({} in {}{}) {}",
        job.id,
        memory.coder,
        job.spec.workspace,
        place(&job.spec.place),
        end_of_job(end)
    )];
    lines.push(format!("{}, {} min", sums(job), took.as_secs() / 60));
    lines.extend(check(job, tried));
    match (&memory.changes, &memory.commit) {
        (Some(changes), Some(commit)) => lines.push(format!("Changed: {changes}; commit {}", short(commit))),
        (Some(changes), None) => lines.push(format!("Changed: {changes}; not committed")),
        (None, Some(commit)) => lines.push(format!("Commit: {}", short(commit))),
        (None, None) => {}
    }
    lines.extend(memory.notes.iter().map(|note| format!("Note: {}", one_line(note, MAX_SAID))));
    if let Some(error) = memory.last_error.as_deref().filter(|_| *end != JobEnd::Done) {
        lines.push(format!("Last error: {}", one_line(error, MAX_SAID)));
    }
    lines.extend(history(end, tried));
    if !memory.said.is_empty() {
        lines.push(format!("Its own last words: \"{}\"", one_line(&memory.said, MAX_SAID)));
    }
    if *end != JobEnd::Done {
        lines.push(format!("/job resume {0} goes on with it; /job show {0} tells more.", job.id));
    }
    lines.join("\n")
}

fn place(place: &Place) -> String {
    match place {
        Place::Workspace => String::new(),
        Place::Branch { branch, .. } => format!(", branch {}", one_line(branch, 100)),
    }
}

fn end_of_job(end: &JobEnd) -> String {
    match end {
        JobEnd::Done => "is done.".to_owned(),
        JobEnd::Stopped => "was stopped.".to_owned(),
        JobEnd::Limit { limit } => format!("ended at a limit: {limit}."),
        JobEnd::NoProgress { failure } => {
            format!("was given up, because the same failures came again and again: {}.", one_line(failure, MAX_SAID))
        }
        JobEnd::Failed { error } => format!("failed: {error}."),
    }
}

/// What is known of the done condition, which is not what the coding agent says of it.
fn check(job: &Job, tried: &[JobRound]) -> Option<String> {
    let Some(done) = &job.spec.done else {
        return Some("There was no done condition: nobody checked the work.".to_owned());
    };
    let last = tried.iter().rev().find_map(|round| match &round.end {
        Some(types::RoundEnd::Passed) => Some("holds".to_owned()),
        Some(types::RoundEnd::NotYet { signature, .. }) => {
            Some(format!("did not hold when it was last run: {}", one_line(signature, MAX_SAID)))
        }
        Some(types::RoundEnd::Done | types::RoundEnd::Failed { .. } | types::RoundEnd::Interrupted) | None => None,
    });
    let last = last.unwrap_or_else(|| "was never run".to_owned());
    Some(format!("Done condition `{}` {last}", one_line(&done.command, 200)))
}

/// What was tried, where the work did not succeed.
fn history(end: &JobEnd, tried: &[JobRound]) -> Vec<String> {
    if *end == JobEnd::Done || tried.is_empty() {
        return Vec::new();
    }
    let skipped = tried.len().saturating_sub(MAX_ROUNDS);
    let mut lines = vec!["What was tried:".to_owned()];
    lines.extend(tried.iter().skip(skipped).map(|round| {
        format!("- round {} ({}): {}", round.round, round.coder, one_line(&end_in_words(round.end.as_ref()), 200))
    }));
    lines
}

fn short(commit: &str) -> String {
    commit.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// What it took, in a line.
pub(super) fn sums(job: &Job) -> String {
    let memory = &job.memory;
    let tokens = tokens(job);
    format!("{} rounds, {} tools, {tokens} tokens, {}", memory.rounds, memory.iterations, memory.used.cost)
}

/// One line of a list of jobs.
pub(crate) fn line(job: &Job) -> String {
    let state = match &job.state {
        JobState::Queued => "waits".to_owned(),
        JobState::Preparing => "is being prepared".to_owned(),
        JobState::Working => "works".to_owned(),
        JobState::Asking => "waits for your answer".to_owned(),
        JobState::TakenOver => "is in your hands".to_owned(),
        JobState::Checking => "is being checked".to_owned(),
        JobState::Landing => "is being landed".to_owned(),
        JobState::Ended { end } => one_line(&end_of_job(end), 120),
    };
    let memory = &job.memory;
    let brief = one_line(&job.spec.brief, 60);
    format!(
        "{} {} in {}: {brief} [{state}, {} rounds, {} tools, {}]",
        job.id, memory.coder, job.spec.workspace, memory.rounds, memory.iterations, memory.used.cost
    )
}

/// A word of a coding agent, as its log shows it.
pub(super) fn bounded(kind: CoderWord, text: &str) -> String {
    let most = match kind {
        CoderWord::Text | CoderWord::Thinking | CoderWord::Told => 8_000,
        CoderWord::Output | CoderWord::Trouble | CoderWord::Plan => 2_000,
        CoderWord::Tool | CoderWord::File | CoderWord::Waiting | CoderWord::Note => 500,
    };
    let mut cut: String = text.chars().take(most).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
