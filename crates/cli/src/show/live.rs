//! A turn as it happens, for a person who watches. It turns events into text and remembers what is on the screen
//! already, so that streamed text is not shown twice.

use std::collections::BTreeSet;

use types::{Event, StopReason};

/// What is on the screen.
#[derive(Debug, Default)]
pub struct Live {
    /// Whether the last line has not ended.
    mid_line: bool,
    /// Whether text of the present step was streamed.
    streamed: bool,
    /// The last whole answer that was shown.
    last: String,
    /// Calls whose output was shown as it came.
    watched: BTreeSet<String>,
}

impl Live {
    /// What to print for an event; empty when there is nothing to show.
    pub fn show(&mut self, event: &Event) -> String {
        match event {
            Event::StepStarted { .. } => {
                self.streamed = false;
                String::new()
            }
            Event::TextDelta { text } => {
                self.streamed = true;
                self.piece(text)
            }
            Event::ToolProgress { call, text } => {
                self.watched.insert(call.clone());
                self.piece(text)
            }
            Event::ToolFinished { call, tool, end, .. } if self.watched.remove(call) => {
                let (call, tool, preview) = (call.clone(), tool.clone(), String::new());
                self.line(daemon::terminal::event(&Event::ToolFinished { call, tool, end: *end, preview }))
            }
            Event::ModelRetry { .. } | Event::ModelSwitched { .. } => {
                self.streamed = false;
                self.line(daemon::terminal::event(event))
            }
            Event::ModelAnswered { text, .. } => self.answered(text),
            Event::TurnFinished { text, .. } => {
                let rest = if text.trim() == self.last.trim() { String::new() } else { self.answered(text) };
                self.last.clear();
                rest + &self.line(daemon::terminal::event(event))
            }
            // Everything else is shown as `terminal` shows it, which knows every kind.
            other => self.line(daemon::terminal::event(other)),
        }
    }

    /// Ends the line, if one is open, so that something else can be printed.
    pub fn end_line(&mut self) -> &'static str {
        if std::mem::take(&mut self.mid_line) { "\n" } else { "" }
    }

    fn answered(&mut self, text: &str) -> String {
        self.last = text.to_owned();
        if std::mem::take(&mut self.streamed) {
            return self.end_line().to_owned();
        }
        let text = daemon::terminal::render(text);
        self.line((!text.trim().is_empty()).then_some(text))
    }

    fn piece(&mut self, text: &str) -> String {
        let text = daemon::terminal::neutral(text);
        self.mid_line = if text.is_empty() { self.mid_line } else { !text.ends_with('\n') };
        text
    }

    fn line(&mut self, text: Option<String>) -> String {
        match text {
            None => String::new(),
            Some(text) => format!("{}{}\n", self.end_line(), text.trim_end_matches('\n')),
        }
    }
}

/// Progress for standard error: without the answer itself, which goes to standard output.
pub fn progress(event: &Event) -> Option<String> {
    match event {
        // What the model says on its way; the last text is the answer.
        Event::ModelAnswered { text, stop: StopReason::ToolUse, .. } if !text.trim().is_empty() => {
            Some(daemon::terminal::render(text))
        }
        Event::TextDelta { .. } | Event::ThinkingDelta { .. } | Event::ToolProgress { .. } => None,
        _ => daemon::terminal::event(event),
    }
}

#[cfg(test)]
mod tests {
    use types::{MicroUsd, TurnEnd, Usage};

    use super::*;

    fn answered(text: &str) -> Event {
        let (stop, usage) = (StopReason::EndTurn, Usage::default());
        Event::ModelAnswered { text: text.to_owned(), stop, usage, cost: None }
    }

    fn finished(text: &str) -> Event {
        let (usage, cost) = (Usage::default(), MicroUsd(0));
        Event::TurnFinished { end: TurnEnd::Done, text: text.to_owned(), steps: 1, usage, cost }
    }

    fn delta(text: &str) -> Event {
        Event::TextDelta { text: text.to_owned() }
    }

    fn shown(events: &[Event]) -> String {
        let mut live = Live::default();
        events.iter().map(|event| live.show(event)).collect()
    }

    #[test]
    fn an_answer_is_shown_once() {
        let step = Event::StepStarted { step: 1 };
        let streamed = shown(&[step.clone(), delta("Hel"), delta("lo."), answered("Hello."), finished("Hello.")]);
        assert_eq!(streamed.matches("Hello.").count(), 1, "{streamed}");
        assert!(streamed.starts_with("Hello.\n"), "{streamed}");
        let whole = shown(&[step.clone(), answered("Hello."), finished("Hello.")]);
        assert_eq!(whole, streamed);
        let other = shown(&[step, answered("Hello."), finished("Stopped at a limit.")]);
        assert!(other.contains("Hello.\nStopped at a limit.\n"), "{other}");
    }

    #[test]
    fn output_is_shown_once() {
        let progress = |text: &str| Event::ToolProgress { call: "c".to_owned(), text: text.to_owned() };
        let (call, tool, preview) = ("c".to_owned(), "exec".to_owned(), "one\ntwo".to_owned());
        let end = Event::ToolFinished { call, tool, end: types::ToolEnd::Ok, preview };
        assert_eq!(shown(&[progress("one\nt"), progress("wo"), end.clone()]), "one\ntwo\n← exec done\n");
        assert_eq!(shown(&[end]), "← exec done\n  one\n  two\n");
    }

    #[test]
    fn streamed_text_cannot_command_the_terminal() {
        assert!(!shown(&[delta("a\u{1b}[2Jb")]).contains('\u{1b}'));
    }
}
