//! What is known of a running turn, as a few lines of text. Pure.

use types::{Event, MicroUsd, ToolEnd, TurnEnd};

/// The longest part of the streamed text that is shown, in characters: its end.
const TAIL: usize = 700;
/// The longest line about a tool, in characters.
const LINE: usize = 160;

/// The state of a turn, folded from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    step: u32,
    /// The call that runs, or how the last one ended.
    tool: Option<String>,
    text: String,
    note: Option<String>,
    /// That another model than the first goes on: true until the end of the turn.
    switched: Option<String>,
    tools: u32,
}

impl Progress {
    /// Takes what happened into account.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::StepStarted { step } => {
                self.step = *step;
                self.text.clear();
                self.note = None;
            }
            Event::TextDelta { text } => self.push(text),
            Event::ModelRetry { attempt, error, .. } => {
                self.text.clear();
                self.note = Some(format!("the model did not answer ({}); attempt {attempt}", line(error)));
            }
            Event::ModelSwitched { from, to, why } => {
                self.text.clear();
                self.switched = Some(format!("{} does not answer ({}); {} goes on", line(from), line(why), line(to)));
            }
            Event::ToolStarted { summary, .. } => {
                self.tools = self.tools.saturating_add(1);
                self.tool = Some(line(summary));
                self.note = None;
            }
            Event::ToolFinished { tool, end, .. } => {
                let how = match end {
                    ToolEnd::Ok => return,
                    ToolEnd::Error => "failed",
                    ToolEnd::Denied => "was denied",
                    ToolEnd::Stopped => "was stopped",
                    ToolEnd::Unknown => "was cut off by a restart; it was not repeated",
                };
                self.note = Some(format!("{} {how}", line(tool)));
            }
            Event::OwnerAsked { .. } => self.note = Some("waiting for your answer".to_owned()),
            Event::OwnerAnswered { .. } => self.note = None,
            Event::TurnResumed => self.note = Some("going on after a restart".to_owned()),
            Event::Compacted { .. } => self.note = Some("the conversation was shortened".to_owned()),
            Event::MessageReceived { .. }
            | Event::TurnStarted { .. }
            | Event::Steered { .. }
            | Event::ThinkingDelta { .. }
            | Event::ModelAnswered { .. }
            | Event::ToolProgress { .. }
            | Event::Proposed { .. }
            | Event::ProposalSettled { .. }
            | Event::SnapshotTaken { .. }
            | Event::SnapshotRestored { .. }
            | Event::LabelRaised { .. }
            | Event::TurnFinished { .. }
            | Event::Delivered { .. }
            | Event::DeliveryFailed { .. }
            | Event::JobQueued { .. }
            | Event::JobMoved { .. }
            | Event::CoderSaid { .. }
            | Event::CoderDelta { .. }
            | Event::JobChecked { .. }
            | Event::JobProgress { .. }
            | Event::JobFinished { .. }
            | Event::Notice { .. } => {}
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        // Only the end is shown, so only a little more than that is kept.
        let count = self.text.chars().count();
        if count > 4 * TAIL {
            self.text = self.text.chars().skip(count - TAIL).collect();
        }
    }

    /// A short answer needs no progress: the answer itself comes in the same moment.
    pub fn is_worth_showing(&self) -> bool {
        self.tools > 0 || self.note.is_some() || self.switched.is_some() || self.text.chars().count() > 40
    }

    /// The lines.
    pub fn text(&self) -> String {
        let mut head = format!("step {}", self.step.max(1));
        if let Some(tool) = &self.tool {
            head.push_str(" · ");
            head.push_str(tool);
        }
        let mut parts = vec![head];
        parts.extend(self.switched.clone());
        parts.extend(self.note.clone());
        let count = self.text.chars().count();
        if count > TAIL {
            parts.push(format!("…{}", self.text.chars().skip(count - TAIL).collect::<String>()));
        } else if !self.text.trim().is_empty() {
            parts.push(self.text.trim().to_owned());
        }
        parts.join("\n")
    }
}

/// The closing line: what it took.
pub(super) fn record(end: &TurnEnd, steps: u32, cost: MicroUsd) -> String {
    let how = match end {
        TurnEnd::Done => "done",
        TurnEnd::Stopped => "stopped",
        TurnEnd::Limit { .. } => "stopped at a limit",
        TurnEnd::Looping { .. } => "stopped: it repeated itself",
        TurnEnd::Refused => "refused",
        TurnEnd::Failed { .. } => "failed",
    };
    let plural = if steps == 1 { "" } else { "s" };
    let cost = if cost == MicroUsd(0) { String::new() } else { format!(", {cost}") };
    format!("{how} in {steps} step{plural}{cost}")
}

/// Foreign text as part of one line: without control characters and without anything that Markdown would take.
fn line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
    let ticks = clean.replace('`', "'");
    format!("`{}`", ticks.trim())
}

#[cfg(test)]
mod tests {
    use types::{Event, MicroUsd, ToolEnd, TurnEnd};

    use super::*;

    #[test]
    fn a_turn_reads_as_a_few_lines() {
        let mut progress = Progress::default();
        progress.take(&Event::StepStarted { step: 1 });
        progress.take(&Event::TextDelta { text: "ok".to_owned() });
        assert!(!progress.is_worth_showing());
        progress.take(&Event::ToolStarted {
            call: "a".to_owned(),
            tool: "exec".to_owned(),
            summary: "exec: cargo `test`".to_owned(),
        });
        progress.take(&Event::StepStarted { step: 2 });
        progress.take(&Event::TextDelta { text: "now I see".to_owned() });
        assert_eq!(progress.text(), "step 2 · `exec: cargo 'test'`\nnow I see");
        let ended =
            |end| Event::ToolFinished { call: "a".to_owned(), tool: "exec".to_owned(), end, preview: String::new() };
        progress.take(&ended(ToolEnd::Denied));
        assert_eq!(progress.text(), "step 2 · `exec: cargo 'test'`\n`exec` was denied\nnow I see");
    }

    #[test]
    fn long_text_shows_its_end() {
        let mut progress = Progress::default();
        for number in 0..10_000 {
            progress.take(&Event::TextDelta { text: format!("{number} ") });
        }
        assert!(progress.text().ends_with("9998 9999 "));
        assert!(progress.text().chars().count() < 800);
    }

    #[test]
    fn the_record_says_what_it_took() {
        assert_eq!(record(&TurnEnd::Done, 7, MicroUsd(12_300)), "done in 7 steps, $0.0123");
        assert_eq!(record(&TurnEnd::Stopped, 1, MicroUsd(0)), "stopped in 1 step");
    }
}
