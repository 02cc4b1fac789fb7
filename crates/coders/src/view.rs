//! What a job's records show, as lines for people. Pure. All text of a coding agent is foreign: nothing in it can move a
//! cursor, set a title or look like one of our own lines. Start with [`lines`].

use types::unseen;

use crate::{Action, CoderCommand, CoderEnd, CoderEvent, Permission, Shown, Verdict};

/// The most characters of one line.
const MAX_LINE: usize = 400;
/// The most lines of one text, and of the end of a tool's output.
const MAX_TEXT: usize = 60;
const MAX_TAIL: usize = 6;

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Words.
    Plain,
    /// Beside the point.
    Faint,
    /// Something that we or the owner did.
    Ours,
    /// It went well.
    Good,
    /// It did not.
    Bad,
    /// Somebody is waited for.
    Asks,
}

/// One line, without its end, with nothing in it but what is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it is meant.
    pub tone: Tone,
    /// The text. Lines of foreign text are indented; ours are not.
    pub text: String,
}

/// The lines for something that a record shows; none where there is nothing to see.
pub fn lines(shown: &Shown) -> Vec<Line> {
    match shown {
        Shown::Started { coder, argv } => {
            let name = coder.as_deref().or(argv.first().map(String::as_str)).unwrap_or("a program");
            one(Tone::Ours, &format!("--- {} starts", clean(name)))
        }
        Shown::Told(command) => told(command),
        Shown::Did(event) => did(event),
        Shown::Complained(line) => foreign(Tone::Faint, line, 1),
        Shown::Stopped(why) => one(Tone::Bad, &format!("--- ended by factotum: {}", clean(why))),
        Shown::Ended { code, why } => ended(*code, why.as_deref()),
        Shown::TerminalOpened(argv) => {
            let program = argv.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            one(Tone::Ours, &format!("--- you take over: {}", clean(program)))
        }
        Shown::TerminalClosed(_) => one(Tone::Ours, "--- you hand back"),
        Shown::Note(text) => one(Tone::Faint, &format!("--- {}", clean(text))),
    }
}

fn told(command: &CoderCommand) -> Vec<Line> {
    match command {
        CoderCommand::Prompt { text } => headed("told:", text),
        CoderCommand::Steer { text } => headed("told meanwhile:", text),
        CoderCommand::Interrupt => one(Tone::Ours, "--- interrupted"),
        CoderCommand::Answer { verdict: Verdict::Allow, .. } => one(Tone::Ours, "--- allowed"),
        CoderCommand::Answer { verdict: Verdict::Deny { why }, .. } => {
            one(Tone::Ours, &format!("--- denied: {}", clean(why)))
        }
        CoderCommand::Close => one(Tone::Ours, "--- told to end"),
    }
}

fn headed(head: &str, text: &str) -> Vec<Line> {
    let mut all = one(Tone::Ours, &format!("--- {head}"));
    all.extend(foreign(Tone::Ours, text, MAX_TEXT));
    all
}

fn did(event: &CoderEvent) -> Vec<Line> {
    match event {
        CoderEvent::Started { model, .. } => match model {
            Some(model) => one(Tone::Faint, &format!("--- model {}", clean(model))),
            None => Vec::new(),
        },
        // It comes again as a whole.
        CoderEvent::TextDelta { .. } | CoderEvent::Spent(_) | CoderEvent::Other { .. } => Vec::new(),
        CoderEvent::Text { text } => foreign(Tone::Plain, text, MAX_TEXT),
        CoderEvent::Thinking { text } => foreign(Tone::Faint, text, MAX_TAIL),
        CoderEvent::ToolStarted { tool, summary, .. } => {
            foreign(Tone::Plain, &format!("> {}: {}", first_line(tool), first_line(summary)), 1)
        }
        CoderEvent::ToolFinished { ok: true, tail, .. } => last(Tone::Faint, tail),
        CoderEvent::ToolFinished { ok: false, tail, .. } => {
            let mut all = last(Tone::Faint, tail);
            all.push(Line { tone: Tone::Bad, text: "  (it failed)".to_owned() });
            all
        }
        CoderEvent::FileChanged { path } => foreign(Tone::Plain, &format!("> changed {}", first_line(path)), 1),
        CoderEvent::Plan { steps } => {
            let line = |text: &str, done| format!("[{}] {}", if done { 'x' } else { ' ' }, first_line(text));
            steps.iter().take(MAX_TEXT).flat_map(|step| foreign(Tone::Faint, &line(&step.text, step.done), 1)).collect()
        }
        CoderEvent::PermissionAsked(permission) => asked(permission),
        CoderEvent::PermissionWithdrawn { .. } => one(Tone::Faint, "--- it asks no more"),
        CoderEvent::Retrying { error, .. } => one(Tone::Faint, &format!("--- tries again: {}", clean(error))),
        CoderEvent::Waiting { what } => one(Tone::Faint, &format!("--- waits for {}", clean(what))),
        CoderEvent::Finished { end: CoderEnd::Done { .. } } => one(Tone::Good, "--- says that it is done"),
        CoderEvent::Finished { end: CoderEnd::Interrupted } => one(Tone::Ours, "--- stopped where it was"),
        CoderEvent::Finished { end: CoderEnd::Failed { message, .. } } => {
            one(Tone::Bad, &format!("--- failed: {}", clean(message)))
        }
        CoderEvent::Note { text } => foreign(Tone::Faint, text, MAX_TAIL),
    }
}

fn asked(permission: &Permission) -> Vec<Line> {
    let what = match &permission.action {
        Action::Command { script } => format!("to run: {script}"),
        Action::Write { paths } => format!("to write: {}", paths.join(", ")),
        Action::Read { paths } => format!("to read: {}", paths.join(", ")),
        Action::Fetch { target } => format!("to fetch: {target}"),
        Action::Other { arguments } => format!("to use {}: {arguments}", permission.tool),
    };
    let mut all = one(Tone::Asks, "--- asks for permission, which waits for factotum's gate or for you:");
    all.extend(foreign(Tone::Asks, &what, MAX_TAIL));
    all
}

fn ended(code: Option<i32>, why: Option<&str>) -> Vec<Line> {
    let how = match (why, code) {
        (Some(why), _) => clean(why),
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "a signal".to_owned(),
    };
    one(Tone::Faint, &format!("--- its program ended: {how}"))
}

fn one(tone: Tone, text: &str) -> Vec<Line> {
    vec![Line { tone, text: cut(text) }]
}

/// Foreign text, indented, of at most so many lines.
fn foreign(tone: Tone, text: &str, most: usize) -> Vec<Line> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let mut all: Vec<Line> = lines.by_ref().take(most).map(|line| indented(tone, line)).collect();
    let more = lines.count();
    if more > 0 {
        all.push(Line { tone: Tone::Faint, text: format!("  ({more} more lines)") });
    }
    all
}

/// The last lines of foreign text.
fn last(tone: Tone, text: &str) -> Vec<Line> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(MAX_TAIL);
    lines.into_iter().skip(skipped).map(|line| indented(tone, line)).collect()
}

fn indented(tone: Tone, line: &str) -> Line {
    Line { tone, text: cut(&format!("  {}", clean(line))) }
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or_default()
}

/// Text in which nothing acts: control characters become their pictures, and what changes the direction of writing or cannot
/// be seen becomes a mark.
fn clean(text: &str) -> String {
    unseen::in_place(text).map(|(character, hides)| harmless(character, hides)).collect()
}

fn harmless(character: char, hides: bool) -> char {
    match character {
        '\t' => ' ',
        '\u{7f}' => '\u{2421}',
        // The pictures of control characters begin here, in the same order.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        _ if hides => '\u{fffd}',
        other => other,
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{PlanStep, Totals};

    fn texts(shown: Shown) -> Vec<String> {
        lines(&shown).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn events_become_lines() {
        let tool = |summary: &str| CoderEvent::ToolStarted {
            id: "1".to_owned(),
            tool: "Bash".to_owned(),
            summary: summary.to_owned(),
        };
        let finished = |ok, tail: &str| CoderEvent::ToolFinished { id: "1".to_owned(), ok, tail: tail.to_owned() };
        let step = |text: &str, done| PlanStep { text: text.to_owned(), done };
        let cases: [(CoderEvent, &[&str]); 8] = [
            (CoderEvent::Text { text: "one\n\ntwo".to_owned() }, &["  one", "  two"]),
            (tool("cargo test\nmore"), &["  > Bash: cargo test"]),
            (finished(true, ""), &[]),
            (finished(false, "1\n2\n3\n4\n5\n6\n7"), &["  2", "  3", "  4", "  5", "  6", "  7", "  (it failed)"]),
            (CoderEvent::Plan { steps: vec![step("a", true), step("b", false)] }, &["  [x] a", "  [ ] b"]),
            (CoderEvent::Finished { end: CoderEnd::Done { text: "x".to_owned() } }, &["--- says that it is done"]),
            (CoderEvent::TextDelta { text: "x".to_owned() }, &[]),
            (CoderEvent::Spent(Totals::default()), &[]),
        ];
        for (event, expected) in cases {
            assert_eq!(texts(Shown::Did(event)), expected);
        }
        let long = CoderEvent::Text { text: "line\n".repeat(MAX_TEXT + 2) };
        assert_eq!(texts(Shown::Did(long)).last().map(String::as_str), Some("  (2 more lines)"));
    }

    #[test]
    fn foreign_text_acts_on_nothing_and_is_not_taken_for_ours() {
        let text = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\rx\u{202e}y\n--- you hand back".to_owned();
        let shown = texts(Shown::Did(CoderEvent::Text { text }));
        assert_eq!(
            shown,
            ["  \u{241b}]0;title\u{2407}\u{241b}[2J\u{fffd}31m\u{240d}x\u{fffd}y", "  --- you hand back"]
        );
        let argv = vec!["a\nb\u{1b}[m".to_owned()];
        assert_eq!(texts(Shown::TerminalOpened(argv)), ["--- you take over: a\u{240a}b\u{241b}[m"]);
    }

    proptest! {
        #[test]
        fn no_line_holds_anything_that_acts(text in any::<String>(), error in "[\\x00-\\xff]{0,30}") {
            let permission = Permission {
                id: text.clone(),
                tool: error.clone(),
                action: Action::Other { arguments: text.clone() },
                reason: None,
            };
            for shown in [
                Shown::Did(CoderEvent::Text { text: text.clone() }),
                Shown::Did(CoderEvent::PermissionAsked(permission)),
                Shown::Did(CoderEvent::Retrying { attempt: None, wait_ms: None, error: error.clone() }),
                Shown::Told(CoderCommand::Prompt { text: text.clone() }),
                Shown::Complained(text.clone()),
                Shown::Note(error.clone()),
            ] {
                for line in lines(&shown) {
                    prop_assert!(!line.text.chars().any(char::is_control), "{:?}", line.text);
                    prop_assert!(line.text.chars().count() <= MAX_LINE + 3);
                }
            }
        }
    }
}
