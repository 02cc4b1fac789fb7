//! One run of a program: what it says, and what its end means.

use crate::{CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Start, Stream, Trouble, Unsupported, text, trouble};

use super::{clean::clean, session};

/// The most bytes of its last words that are gathered; the end is kept.
const MAX_TEXT: usize = 64 * 1024;
/// What its failures are told from: its last lines.
const MAX_COMPLAINTS: usize = 20;

/// How it is judged whether the program did its work.
#[derive(Clone, Debug)]
pub(super) enum Judge {
    /// By its exit code.
    ExitCode,
    /// By a line that contains this.
    Line(String),
    /// By what forge says.
    Forge,
}

/// What a line says about the end.
enum Sign {
    /// It is the program's own remark that it did its work.
    Done,
    /// It is a remark of the program, not an answer.
    Remark,
    /// It tells of a failure.
    Failure,
    /// It belongs to the answer.
    Answer,
}

/// One run.
pub(super) struct Run {
    coder: &'static str,
    judge: Judge,
    session: String,
    model: Option<String>,
    started: bool,
    busy: bool,
    done: bool,
    limited: bool,
    said: String,
    complaints: Vec<String>,
}

impl Run {
    pub fn new(coder: &'static str, start: &Start, judge: Judge) -> Self {
        Self {
            coder,
            judge,
            session: session(start).to_owned(),
            model: start.model.clone(),
            started: false,
            busy: false,
            done: false,
            limited: false,
            said: String::new(),
            complaints: Vec::new(),
        }
    }

    fn sign(&self, line: &str) -> Sign {
        match &self.judge {
            Judge::ExitCode => Sign::Answer,
            Judge::Line(success) if line.contains(success.as_str()) => Sign::Done,
            Judge::Line(_) => Sign::Answer,
            Judge::Forge => forge_sign(line, &self.session),
        }
    }

    fn complain(&mut self, line: &str) {
        self.complaints.push(text::message(line));
        if self.complaints.len() > MAX_COMPLAINTS {
            self.complaints.remove(0);
        }
    }

    fn start_of(&mut self) -> Vec<CoderEvent> {
        if std::mem::replace(&mut self.started, true) {
            return Vec::new();
        }
        vec![CoderEvent::Started { session: self.session.clone(), model: self.model.clone(), version: None }]
    }

    /// Why it failed, from what it said.
    fn failure(&self, code: Option<i32>) -> (Trouble, String) {
        if self.limited {
            return (Trouble::OwnLimit, "it reached its own limit of requests".to_owned());
        }
        let how = match code {
            Some(0) => "its program ended without saying that its work is done".to_owned(),
            Some(code) => format!("its program ended with exit code {code}"),
            None => "its program was killed".to_owned(),
        };
        let all = self.complaints.join("\n");
        let trouble = match trouble::by_words(&all) {
            // It ended in the middle, for no reason that it gave.
            Trouble::Other if self.complaints.is_empty() || code.is_none() => Trouble::Crashed,
            trouble => trouble,
        };
        let last = self.complaints.last().map(|line| format!(": {line}")).unwrap_or_default();
        (trouble, text::message(&format!("{how}{last}")))
    }
}

impl Dialect for Run {
    fn open(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        let line = clean(line);
        let mut events = self.start_of();
        let sign = self.sign(&line);
        match (stream, sign) {
            (_, Sign::Done) => self.done = true,
            (_, Sign::Remark) => {
                self.limited |= line.contains("per turn achieved") || line.contains("reached for this turn");
                events.push(CoderEvent::Note { text: text::summary(&line) });
            }
            (_, Sign::Failure) => {
                self.complain(&line);
                events.push(CoderEvent::Note { text: text::summary(&line) });
            }
            (Stream::Err, Sign::Answer) if line.trim().is_empty() => {}
            (Stream::Err, Sign::Answer) => self.complain(&line),
            (Stream::Out, Sign::Answer) => {
                self.said.push_str(&line);
                self.said.push('\n');
                if self.said.len() > 2 * MAX_TEXT {
                    self.said = text::end(&self.said, MAX_TEXT).to_owned();
                }
                events.push(CoderEvent::TextDelta { text: format!("{line}\n") });
            }
        }
        Heard::told(events)
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        let unsupported = |why| Err(Unsupported { coder: self.coder, why });
        match command {
            CoderCommand::Prompt { .. } if self.busy => unsupported("takes one prompt and ends"),
            CoderCommand::Prompt { .. } => {
                self.busy = true;
                Ok(Vec::new())
            }
            CoderCommand::Steer { .. } => unsupported("cannot be told anything while it works"),
            CoderCommand::Interrupt if !self.busy => Ok(Vec::new()),
            CoderCommand::Interrupt => unsupported("cannot be interrupted: it is killed"),
            CoderCommand::Answer { .. } => unsupported("asks for nothing"),
            CoderCommand::Close => unsupported("ends by itself"),
        }
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        if !std::mem::take(&mut self.busy) {
            return Vec::new();
        }
        let mut events = self.start_of();
        let said = text::end(self.said.trim(), MAX_TEXT).trim().to_owned();
        if !said.is_empty() {
            events.push(CoderEvent::Text { text: said.clone() });
        }
        let is_done = match self.judge {
            Judge::ExitCode => code == Some(0),
            // One that was killed did not end by itself, whatever it said before.
            Judge::Line(_) | Judge::Forge => self.done && !self.limited && code.is_some(),
        };
        let end = if is_done {
            CoderEnd::Done { text: said }
        } else {
            let (trouble, message) = self.failure(code);
            CoderEnd::Failed { trouble, message }
        };
        events.push(CoderEvent::Finished { end });
        events
    }

    fn is_busy(&self) -> bool {
        self.busy
    }
}

/// forge marks what it says itself: `● [12:00:00] Finished ID`.
fn forge_sign(line: &str, session: &str) -> Sign {
    let remark = line.trim_start().strip_prefix(['●', '⏺']).map(str::trim_start);
    let Some(remark) = remark.and_then(|remark| remark.strip_prefix('[')?.split_once(']')) else {
        return if line.trim_start().starts_with("ERROR:") { Sign::Failure } else { Sign::Answer };
    };
    let said = remark.1.trim();
    if said.strip_prefix("Finished").is_some_and(|id| id.trim() == session) {
        return Sign::Done;
    }
    if said.starts_with("ERROR:") { Sign::Failure } else { Sign::Remark }
}
