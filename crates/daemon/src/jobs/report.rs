//! What the owner reads of a job, from our own records. What a coding agent, a check or a forge said is quoted as its words: it
//! cannot look like ours, and nothing in it is a link, a mention or a command. Pure.

use std::time::Duration;

use channels::format::neutral;
use store::Job;
use types::{CoderWord, JobEnd, JobPause, JobRound, JobRun, JobState, MicroUsd, Place, RoundEnd, Timestamp};

use super::{
    limits::tokens,
    phases,
    prompts::{end_in_words, one_line},
};

/// The most characters of foreign text in one place of a report.
const MAX_SAID: usize = 600;
/// The most rounds that a report lists.
const MAX_ROUNDS: usize = 8;

/// A word between the beginning and the end.
pub(super) fn progress(job: &Job) -> String {
    let run = run(job);
    let last = job.memory.last.as_deref().map(|last| format!("\nLast: {}", theirs(last))).unwrap_or_default();
    let before = if is_first(job) { String::new() } else { format!(" ({} in all)", job.memory.used.cost) };
    let (round, most) = (run.rounds.saturating_add(1), job.spec.limits.rounds);
    let phase = phases::place(job).map(|place| format!("{place}, ")).unwrap_or_default();
    format!(
        "Job {}: {phase}round {round} of at most {most}, {} tools, {}{before}.{last}",
        job.id, run.iterations, run.cost
    )
}

/// What it has taken since it was last asked for.
pub(super) fn run(job: &Job) -> JobRun {
    let (memory, since) = (&job.memory, &job.memory.since);
    JobRun {
        rounds: memory.rounds.saturating_sub(since.rounds),
        iterations: memory.iterations.saturating_sub(since.iterations),
        tokens: tokens(job).saturating_sub(since.tokens),
        cost: memory.used.cost.minus(since.cost),
    }
}

/// Whether nothing was done before it was last asked for.
fn is_first(job: &Job) -> bool {
    let since = &job.memory.since;
    (since.rounds, since.iterations, since.tokens, since.cost) == (0, 0, 0, MicroUsd(0))
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
    let minutes = took.as_secs() / 60;
    if is_first(job) {
        lines.push(format!("{}, {minutes} min", sums(job)));
    } else {
        lines.push(format!("This time: {}, {minutes} min", in_words(run(job))));
        lines.push(format!("In all, with what was done before: {}", sums(job)));
    }
    if let Some(place) = phases::place(job).filter(|_| *end != JobEnd::Done) {
        lines.push(format!("It ended in {place}; what the phases before committed stays."));
    }
    // What was tried before it was asked to go on stands in the report of that time.
    let tried: Vec<&JobRound> = tried.iter().filter(|round| round.round > memory.since.rounds).collect();
    lines.extend(check(job, &tried));
    match (&memory.changes, &memory.commit) {
        (Some(changes), Some(commit)) => lines.push(format!("Changed: {changes}; commit {}", short(commit))),
        (Some(changes), None) => lines.push(format!("Changed: {changes}; not committed")),
        (None, Some(commit)) => lines.push(format!("Commit: {}", short(commit))),
        (None, None) => {}
    }
    lines.extend(memory.notes.iter().map(|note| self::note(note)));
    if let Some(error) = memory.last_error.as_deref().filter(|_| *end != JobEnd::Done) {
        lines.push(format!("Last error: {}", theirs(error)));
    }
    lines.extend(history(end, &tried));
    if !memory.said.is_empty() {
        lines.push(format!("Its own last words: {}", theirs(&memory.said)));
    }
    if !memory.words.is_empty() {
        let count = memory.words.len();
        lines.push(format!("It did not hear the last {count} of your messages; it will be told if it goes on."));
    }
    if *end != JobEnd::Done || !memory.words.is_empty() {
        lines.push(format!("/job resume {0} goes on with it; /job show {0} tells more.", job.id));
    }
    lines.join("\n")
}

/// What the owner should know besides, which may hold names and words of the repository.
pub(super) fn note(note: &str) -> String {
    format!("Note: {}", theirs(note))
}

/// Words that are not ours, on one line of a message to the owner: whatever they hold, they are seen as what they are. Between
/// backticks nothing is a link, a mention, a command or a button, and there is no way out.
pub(super) fn theirs(text: &str) -> String {
    quoted(text, MAX_SAID)
}

fn quoted(text: &str, characters: usize) -> String {
    let line = one_line(&neutral(text), characters).replace('`', "'");
    if line.is_empty() { "(nothing)".to_owned() } else { format!("`{line}`") }
}

fn place(place: &Place) -> String {
    match place {
        Place::Workspace => String::new(),
        Place::Branch { branch, .. } => format!(", branch {}", quoted(branch, 100)),
    }
}

fn end_of_job(end: &JobEnd) -> String {
    match end {
        JobEnd::Done => "is done.".to_owned(),
        JobEnd::Stopped => "was stopped.".to_owned(),
        JobEnd::Limit { limit } => format!("ended at a limit: {limit}."),
        JobEnd::NoProgress { failure } => {
            format!("was given up, because the same failures came again and again: {}.", theirs(failure))
        }
        JobEnd::Failed { error } => format!("failed: {}.", theirs(error)),
    }
}

/// What is known of the done condition, which is not what the coding agent says of it.
fn check(job: &Job, tried: &[&JobRound]) -> Option<String> {
    let Some(done) = phases::done(job) else {
        return Some("There was no done condition: nobody checked the work.".to_owned());
    };
    let last = tried.iter().rev().find_map(|round| match &round.end {
        Some(RoundEnd::Passed) => Some("holds".to_owned()),
        Some(RoundEnd::NotYet { signature, .. }) => {
            Some(format!("did not hold when it was last run: {}", theirs(signature)))
        }
        Some(RoundEnd::Done | RoundEnd::Failed { .. } | RoundEnd::Interrupted) | None => None,
    });
    let never = if is_first(job) { "was never run" } else { "was not run this time" };
    let last = last.unwrap_or_else(|| never.to_owned());
    Some(format!("Done condition {} {last}", quoted(&done.command, 200)))
}

/// What was tried, where the work did not succeed.
fn history(end: &JobEnd, tried: &[&JobRound]) -> Vec<String> {
    if *end == JobEnd::Done || tried.is_empty() {
        return Vec::new();
    }
    let skipped = tried.len().saturating_sub(MAX_ROUNDS);
    let mut lines = vec!["What was tried:".to_owned()];
    lines.extend(tried.iter().skip(skipped).copied().map(round));
    lines
}

/// One round in a line.
pub(super) fn round(round: &JobRound) -> String {
    let end = match &round.end {
        Some(RoundEnd::NotYet { signature, .. }) => format!("the check failed: {}", quoted(signature, 200)),
        Some(RoundEnd::Failed { error }) => format!("it broke off: {}", quoted(error, 200)),
        Some(RoundEnd::Done | RoundEnd::Passed | RoundEnd::Interrupted) | None => end_in_words(round.end.as_ref()),
    };
    format!("- round {} ({}): {end}", round.round, round.coder)
}

/// A commit in a few characters.
pub(super) fn short(commit: &str) -> String {
    commit.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}

/// What it took in all, in a line.
pub(super) fn sums(job: &Job) -> String {
    let (memory, tokens) = (&job.memory, tokens(job));
    in_words(JobRun { rounds: memory.rounds, iterations: memory.iterations, tokens, cost: memory.used.cost })
}

fn in_words(run: JobRun) -> String {
    format!("{} rounds, {} tools, {} tokens, {}", run.rounds, run.iterations, run.tokens, run.cost)
}

/// Why a job does not go on at the moment. `position` is its place among those that wait.
pub(super) fn pause(job: &Job, position: Option<u32>, now: Timestamp) -> Option<JobPause> {
    let memory = &job.memory;
    let until = memory.retry_at.filter(|until| *until > now);
    let (why, since) = match &job.state {
        JobState::Ended { .. } => return None,
        JobState::Queued => {
            let why = "all places are taken, or another job works in the same files";
            (why.to_owned(), job.queued_at)
        }
        JobState::Asking => ("it waits for your answer".to_owned(), memory.moved_at),
        JobState::TakenOver => ("it is in your hands".to_owned(), memory.moved_at),
        JobState::Landing if memory.asking_since.is_some() => {
            ("it waits for your answer".to_owned(), memory.asking_since.unwrap_or(now))
        }
        JobState::Preparing | JobState::Working | JobState::Checking | JobState::Landing => {
            until?;
            let error = memory.last_error.as_deref().unwrap_or("it broke off");
            (format!("it is tried again after a failure: {}", theirs(error)), memory.paused_at.unwrap_or(now))
        }
    };
    Some(JobPause { why, since, until, position: position.filter(|_| job.state == JobState::Queued) })
}

/// The same in a line.
pub(super) fn paused(pause: &JobPause, now: Timestamp) -> String {
    let minutes = |from: Timestamp, to: Timestamp| to.since(from).as_secs() / 60;
    let place = pause.position.map(|place| format!(", number {place} of those that wait")).unwrap_or_default();
    let until = pause.until.map(|until| format!(", goes on in {} min", minutes(now, until))).unwrap_or_default();
    format!("paused for {} min{place}{until}: {}", minutes(pause.since, now), pause.why)
}

/// One line of a list of jobs.
pub(crate) fn line(job: &Job, pause: Option<&JobPause>, now: Timestamp) -> String {
    let state = match &job.state {
        JobState::Queued => "waits".to_owned(),
        JobState::Preparing => "is being prepared".to_owned(),
        JobState::Working => phases::place(job).map_or_else(|| "works".to_owned(), |place| format!("works, {place}")),
        JobState::Asking => "waits for your answer".to_owned(),
        JobState::TakenOver => "is in your hands".to_owned(),
        JobState::Checking => "is being checked".to_owned(),
        JobState::Landing => "is being landed".to_owned(),
        JobState::Ended { end } => end_of_job(end),
    };
    let paused = pause.map(|pause| format!(", {}", paused(pause, now))).unwrap_or_default();
    let memory = &job.memory;
    let brief = quoted(&job.spec.brief, 60);
    format!(
        "{} {} in {}: {brief} [{state}{paused}, {} rounds, {} tools, {}]",
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

#[cfg(test)]
mod tests {
    use channels::format::{LinkText, Rich, telegram_html};

    use super::*;
    use crate::jobs::tests::job;

    #[test]
    fn foreign_words_cannot_look_like_ours() {
        let evil = "done`\nJob 3 is done. [press](https://evil.example) @all /stop\u{202e}\u{200b}\u{1b}[2J ```x```";
        let shown = theirs(evil);
        assert!(shown.starts_with("`done' Job 3 is done."), "{shown}");
        assert_eq!(shown.matches('`').count(), 2, "{shown}");
        assert!(!shown.chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}')), "{shown}");
        assert_eq!(theirs(" \n"), "(nothing)");
        let mut job = job();
        (job.memory.said, job.memory.last_error) = (evil.to_owned(), Some(evil.to_owned()));
        (job.memory.notes, job.memory.last) = (vec![evil.to_owned()], Some(evil.to_owned()));
        let failed = JobEnd::Failed { error: evil.to_owned() };
        let tried = JobRound {
            round: 1,
            coder: "claude".to_owned(),
            prompt: String::new(),
            said: evil.to_owned(),
            end: Some(RoundEnd::NotYet { signature: evil.to_owned(), tail: evil.to_owned() }),
            at: Timestamp(0),
        };
        for text in [end(&job, &failed, &[tried], Duration::ZERO), progress(&job), line(&job, None, Timestamp(0))] {
            let html = telegram_html(&Rich::read(&text, LinkText::Host));
            assert!(!html.contains("<a ") && !html.contains('\u{202e}'), "{html}");
            assert!(!text.lines().any(|line| line.starts_with("Job 3 is done.")), "{text}");
        }
    }

    #[test]
    fn a_report_after_a_resume_tells_this_time_from_all_times() {
        let mut job = job();
        let cost = MicroUsd(2_000_000);
        job.memory.since = store::JobSince { rounds: 4, iterations: 40, tokens: 0, cost, at: Timestamp(0) };
        (job.memory.rounds, job.memory.iterations, job.memory.used.cost) = (5, 43, MicroUsd(2_500_000));
        let round = |round| JobRound {
            round,
            coder: "claude".to_owned(),
            prompt: String::new(),
            said: String::new(),
            end: Some(RoundEnd::Interrupted),
            at: Timestamp(0),
        };
        let text = end(&job, &JobEnd::Stopped, &[round(4), round(5)], Duration::from_secs(120));
        assert!(text.contains("This time: 1 rounds, 3 tools, 0 tokens, $0.5000, 2 min"), "{text}");
        assert!(text.contains("In all, with what was done before: 5 rounds, 43 tools"), "{text}");
        assert!(text.contains("- round 5") && !text.contains("- round 4"), "{text}");
        assert!(text.contains("was not run this time"), "{text}");
        let progress = progress(&job);
        assert!(progress.contains("round 2 of at most 20, 3 tools, $0.5000 ($2.5000 in all)."), "{progress}");
    }

    #[test]
    fn pauses_say_why_and_since_when() {
        let mut job = job();
        assert_eq!(pause(&job, None, Timestamp(0)), None);
        (job.memory.retry_at, job.memory.paused_at) = (Some(Timestamp(300_000)), Some(Timestamp(60_000)));
        job.memory.last_error = Some("overloaded".to_owned());
        let found = pause(&job, None, Timestamp(180_000)).map(|found| paused(&found, Timestamp(180_000)));
        let expected = "paused for 2 min, goes on in 2 min: it is tried again after a failure: `overloaded`";
        assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(pause(&job, None, Timestamp(300_001)), None, "it is being tried");
        job.state = JobState::Queued;
        let found = pause(&job, Some(2), Timestamp(600_000)).map(|found| paused(&found, Timestamp(600_000)));
        let has = |part| found.as_ref().is_some_and(|found: &String| found.contains(part));
        assert!(has("for 10 min, number 2 of those that wait"), "{found:?}");
    }
}
