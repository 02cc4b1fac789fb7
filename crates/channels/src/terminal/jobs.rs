//! How a terminal shows what happens in a job.

use types::{CoderWord, Event, JobEnd, JobState};

use super::neutral;

/// The most characters of what a coding agent says at once.
const MAX_SAID: usize = 2_000;

/// One event of a job as lines; none for all other events. Pieces ([`Event::CoderDelta`]) are given without a line feed of
/// their own.
pub(super) fn event(event: &Event) -> Option<String> {
    let text = match event {
        Event::JobQueued { job, coder, workspace, .. } => {
            format!("job {job} waits for a place ({coder} in {workspace})")
        }
        Event::JobMoved { job, state } => format!("job {job} {}", state_in_words(state)),
        Event::CoderSaid { kind, text, .. } => said(*kind, text),
        Event::CoderDelta { text, .. } => text.clone(),
        Event::JobChecked { job, round, passed: true, .. } => {
            format!("job {job}: the done condition holds after round {round}")
        }
        Event::JobChecked { job, round, passed: false, tail } => {
            format!("job {job}: the done condition does not hold after round {round}\n{}", cut(tail))
        }
        Event::JobProgress { job, rounds, iterations, cost, last, .. } => {
            format!("job {job}: round {}, {iterations} tools, {cost}; {last}", rounds.saturating_add(1))
        }
        Event::JobFinished { job, end, rounds, iterations, cost, .. } => {
            format!("job {job} {} ({rounds} rounds, {iterations} tools, {cost})", end_in_words(end))
        }
        _ => return None,
    };
    Some(neutral(&text))
}

fn said(kind: CoderWord, text: &str) -> String {
    let text = cut(text);
    match kind {
        CoderWord::Text => text,
        CoderWord::Thinking => format!("(thinking) {text}"),
        CoderWord::Tool => format!("→ {text}"),
        CoderWord::Output => format!("  {text}"),
        CoderWord::Trouble => format!("  failed: {text}"),
        CoderWord::File => format!("  changed {text}"),
        CoderWord::Plan => format!("plan:\n{text}"),
        CoderWord::Waiting => format!("… {text}"),
        CoderWord::Note => format!("note: {text}"),
        CoderWord::Told => format!("» {text}"),
    }
}

fn cut(text: &str) -> String {
    let text = text.trim();
    let mut shown: String = text.chars().take(MAX_SAID).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// How a job is doing, to follow its number.
pub fn state_in_words(state: &JobState) -> String {
    match state {
        JobState::Queued => "waits for a place".to_owned(),
        JobState::Preparing => "is being prepared".to_owned(),
        JobState::Working => "is at work".to_owned(),
        JobState::Asking => "waits for your answer".to_owned(),
        JobState::TakenOver => "is in your hands".to_owned(),
        JobState::Checking => "is being checked".to_owned(),
        JobState::Landing => "is being landed".to_owned(),
        JobState::Ended { end } => end_in_words(end),
    }
}

fn end_in_words(end: &JobEnd) -> String {
    match end {
        JobEnd::Done => "is done".to_owned(),
        JobEnd::Stopped => "was stopped".to_owned(),
        JobEnd::Limit { limit } => format!("ended at a limit: {limit}"),
        JobEnd::NoProgress { failure } => format!("was given up, because the same failures came again: {failure}"),
        JobEnd::Failed { error } => format!("failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use types::JobId;

    use super::*;

    #[test]
    fn what_a_coding_agent_says_is_harmless_on_a_terminal() {
        let event_of = |kind, text: &str| Event::CoderSaid { job: JobId(1), kind, text: text.to_owned() };
        assert_eq!(event(&event_of(CoderWord::Tool, "cargo test")), Some("→ cargo test".to_owned()));
        let shown = event(&event_of(CoderWord::Text, "\u{1b}]0;owned\u{7}hello")).unwrap_or_default();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}') && shown.contains("hello"), "{shown:?}");
        let long = event(&event_of(CoderWord::Text, &"x".repeat(5_000))).unwrap_or_default();
        assert_eq!(long.chars().count(), MAX_SAID + 1);
        assert_eq!(event(&Event::TurnResumed), None);
    }
}
