//! What the records of a job amount to: a pure function of them, record by record. Owns the rule that what a dialect would
//! write and what was written are matched in order; must not wait, read a clock or reach the supervisor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sandbox::{Record, What};
use serde_json::Value;

use crate::{
    CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Permission, Registry, Start, Stream, Totals, Trouble,
    Unsupported, Verdict,
    border::{self, Border},
};

use super::{
    cause::{Cause, RunNote},
    mute::Mute,
    phase::{Phase, is_progress},
};

/// Lines that may wait for the program to read them. A program that provokes more answers than this is killed.
pub(super) const MAX_OWED: usize = 4096;
/// The most bytes of a line that is owed, and of all of them. Answers repeat what was asked, which is a line of at most
/// [`sandbox::MAX_LINE`]; what is longer no supervisor would take.
const MAX_OWED_LINE: usize = sandbox::MAX_LINE + 1024 * 1024;
const MAX_OWED_BYTES: usize = 32 * 1024 * 1024;
/// Tools that are open at once; those beyond are not told.
const MAX_TOOLS: usize = 256;
/// Permissions that wait at once; those beyond are refused.
const MAX_PERMISSIONS: usize = 64;
/// Why a permission is refused before anybody is asked.
const TOO_LONG: &str = "this is too long to be shown to whoever decides; do it in smaller steps";
const TOO_MANY: &str = "too many questions wait at once; go on when some of them are answered";

/// What a record led to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub events: Vec<CoderEvent>,
    /// What became of the command with this number.
    pub outcome: Option<(u64, Result<(), Refused>)>,
    /// Whether the work went on.
    pub progress: bool,
}

/// Why a command that was recorded had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotRunning,
    NotAsked(String),
    /// It does nothing that words could reach.
    Idle,
    Unsupported(Unsupported),
}

/// Why a turn is being ended by us.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Ordered,
    Stalled { phase: Phase, seconds: u64 },
    Killed { why: String },
}

struct Run {
    dialect: Box<dyn Dialect>,
    border: Border,
    /// What the dialect wants written and no record shows yet, oldest first.
    owed: VecDeque<String>,
    owed_bytes: usize,
    permissions: BTreeMap<String, Permission>,
    tools: BTreeSet<String>,
    spoken: bool,
    retrying: bool,
    ending: Option<Ending>,
    closing: bool,
    deaf: bool,
    dying: bool,
    /// Why nothing that it says can be taken any more.
    garbled: Option<String>,
}

/// The state of a job's coding agent.
pub(super) struct Talk {
    registry: Registry,
    run: Option<Run>,
    coder: Option<String>,
    start: Start,
    session: Option<String>,
    spent: Option<Totals>,
    commands: u64,
    /// Whether the last command had no effect.
    refused: bool,
}

impl Talk {
    pub fn new(registry: Registry) -> Self {
        Self {
            registry,
            run: None,
            coder: None,
            start: Start::default(),
            session: None,
            spent: None,
            commands: 0,
            refused: false,
        }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.dialect.is_busy())
    }

    pub fn coder(&self) -> Option<&str> {
        self.coder.as_deref()
    }

    pub fn start(&self) -> &Start {
        &self.start
    }

    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub fn spent(&self) -> Option<Totals> {
        self.spent
    }

    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Whether the last of them had no effect.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    pub fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.run.iter().flat_map(|run| run.permissions.values())
    }

    /// The lines that no record shows yet.
    pub fn owed(&self) -> impl ExactSizeIterator<Item = &String> {
        static NONE: VecDeque<String> = VecDeque::new();
        self.run.as_ref().map_or(&NONE, |run| &run.owed).iter()
    }

    /// Whether the program must be killed without more ado.
    pub fn must_die(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.dying)
    }

    /// Whether an interrupt would not be heard.
    pub fn is_deaf(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.deaf)
    }

    pub fn phase(&self) -> Phase {
        let Some(run) = &self.run else { return Phase::Idle };
        if run.dying {
            Phase::Dying
        } else if run.ending.is_some() || run.closing {
            Phase::Stopping
        } else if !run.dialect.is_busy() {
            Phase::Idle
        } else if !run.permissions.is_empty() {
            Phase::Asking
        } else if run.retrying {
            Phase::Retrying
        } else if !run.spoken {
            Phase::Starting
        } else if !run.tools.is_empty() {
            Phase::Tool
        } else {
            Phase::Thinking
        }
    }

    /// Takes in the next record.
    pub fn take(&mut self, record: &Record) -> Taken {
        match &record.what {
            What::Started { note, .. } => self.started(note),
            What::Out { line } => self.heard(Stream::Out, line),
            What::Err { line } => self.heard(Stream::Err, line),
            What::In { cause, lines } => self.written(cause, lines),
            What::Ended { code, why, .. } => self.ended(*code, why.as_deref()),
            What::TerminalOpened { .. } | What::TerminalClosed { .. } => Taken::default(),
            What::Note { text } => Taken { events: vec![CoderEvent::Note { text: text.clone() }], ..Taken::default() },
        }
    }

    fn started(&mut self, note: &Value) -> Taken {
        // Without a record of its end, the program before was lost with its supervisor.
        let taken = self.ended(None, Some("its supervisor was lost"));
        let note = serde_json::from_value::<RunNote>(note.clone()).ok();
        let coder = note.as_ref().and_then(|note| self.registry.get(&note.coder));
        let mut dialect = match (&note, coder) {
            (Some(note), Some(coder)) => coder.dialect(&note.start),
            _ => Box::new(Mute),
        };
        let mut first = dialect.open();
        if let Some(note) = note {
            if let Some(text) = note.prompt {
                self.commands += 1;
                self.refused = false;
                first.extend(dialect.command(&CoderCommand::Prompt { text }).unwrap_or_default());
            }
            self.session.clone_from(&note.start.resume);
            self.coder = Some(note.coder);
            self.start = note.start;
        }
        let mut run = Run {
            dialect,
            border: Border::default(),
            owed: VecDeque::new(),
            owed_bytes: 0,
            permissions: BTreeMap::new(),
            tools: BTreeSet::new(),
            spoken: false,
            retrying: false,
            ending: None,
            closing: false,
            deaf: false,
            dying: false,
            garbled: None,
        };
        run.owe(first);
        self.run = Some(run);
        Taken { progress: true, ..taken }
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Taken {
        let Some(run) = self.run.as_mut().filter(|run| run.garbled.is_none()) else { return Taken::default() };
        let Heard { events, lines, broken } = run.dialect.heard(stream, line);
        run.owe(lines);
        let taken = self.settle(events);
        if let (Some(run), Some(why)) = (&mut self.run, broken) {
            // The next prompt starts another program.
            run.garbled(why);
        }
        taken
    }

    fn written(&mut self, cause: &Value, lines: &[String]) -> Taken {
        let taken = match serde_json::from_value::<Cause>(cause.clone()) {
            Ok(cause) => self.caused(cause),
            Err(_) => Taken::default(),
        };
        if let Some(run) = &mut self.run {
            let written = run.owed.drain(..lines.len().min(run.owed.len()));
            run.owed_bytes -= written.map(|line| line.len()).sum::<usize>();
        }
        taken
    }

    fn caused(&mut self, cause: Cause) -> Taken {
        match cause {
            Cause::Command { id, command } => {
                self.commands += 1;
                let outcome = self.commanded(&command);
                self.refused = outcome.is_err();
                // A word in between does not show that work goes on.
                let begins = matches!(command, CoderCommand::Prompt { .. } | CoderCommand::Answer { .. });
                Taken { progress: begins && outcome.is_ok(), outcome: Some((id, outcome)), events: Vec::new() }
            }
            Cause::Stalled { phase, seconds } => {
                // A turn that ended in the meantime has not stalled.
                if let Some(run) = self.run.as_mut().filter(|run| run.dialect.is_busy()) {
                    run.ending = Some(Ending::Stalled { phase, seconds });
                    match run.dialect.command(&CoderCommand::Interrupt) {
                        Ok(lines) => run.owe(lines),
                        Err(Unsupported { .. }) => run.deaf = true,
                    }
                }
                Taken::default()
            }
            Cause::Killed { why } => {
                if let Some(run) = &mut self.run {
                    run.dying = true;
                    run.ending.get_or_insert(Ending::Killed { why });
                }
                Taken::default()
            }
        }
    }

    fn commanded(&mut self, command: &CoderCommand) -> Result<(), Refused> {
        let run = self.run.as_mut().ok_or(Refused::NotRunning)?;
        if let CoderCommand::Answer { permission, .. } = command
            && !run.permissions.contains_key(permission)
        {
            return Err(Refused::NotAsked(permission.clone()));
        }
        let busy = run.dialect.is_busy();
        if !busy && matches!(command, CoderCommand::Steer { .. }) {
            // Most would begin a turn with it that nobody asked for.
            return Err(Refused::Idle);
        }
        let lines = run.dialect.command(command).map_err(Refused::Unsupported)?;
        run.owe(lines);
        match command {
            CoderCommand::Answer { permission, .. } => drop(run.permissions.remove(permission)),
            CoderCommand::Interrupt if busy => drop(run.ending.get_or_insert(Ending::Ordered)),
            CoderCommand::Close => {
                run.closing = true;
                if busy {
                    run.ending.get_or_insert(Ending::Ordered);
                }
            }
            CoderCommand::Prompt { .. } | CoderCommand::Steer { .. } | CoderCommand::Interrupt => {}
        }
        Ok(())
    }

    fn ended(&mut self, code: Option<i32>, why: Option<&str>) -> Taken {
        let Some(run) = &mut self.run else { return Taken::default() };
        let busy = run.dialect.is_busy();
        let mut events = run.dialect.ended(code);
        let said = events.iter().any(|event| matches!(event, CoderEvent::Finished { .. }));
        if busy && !said {
            let message = "its program ended in the middle of its work".to_owned();
            events.push(CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Crashed, message } });
        }
        for event in &mut events {
            if let CoderEvent::Finished { end } = event {
                run.explain(end, why);
            }
        }
        let mut taken = self.settle(events);
        let left = self.run.take().into_iter().flat_map(|run| run.permissions.into_keys());
        taken.events.extend(left.map(|id| CoderEvent::PermissionWithdrawn { id }));
        taken.progress = true;
        taken
    }

    /// Brings the state up to date with what happened, and corrects what only the driver knows: why a turn ended.
    fn settle(&mut self, heard: Vec<CoderEvent>) -> Taken {
        let mut taken = Taken::default();
        let mut told = Vec::new();
        for event in heard {
            let Some(run) = &mut self.run else { break };
            let mut event = border::fit(event);
            let spoken = run.spoken;
            run.spoken |= matches!(event, CoderEvent::Started { .. }) || is_progress(&event);
            match &mut event {
                CoderEvent::Started { session, .. } => {
                    taken.progress |= !spoken;
                    self.session = Some(session.clone());
                }
                CoderEvent::Spent(totals) => {
                    if self.spent.replace(*totals) == Some(*totals) {
                        continue;
                    }
                    taken.progress = true;
                }
                CoderEvent::ToolStarted { id, .. } => {
                    if run.tools.len() >= MAX_TOOLS || !run.tools.insert(id.clone()) {
                        continue;
                    }
                }
                CoderEvent::ToolFinished { id, .. } => drop(run.tools.remove(id)),
                CoderEvent::PermissionAsked(asked) => {
                    if let Some(why) = run.cannot_ask(asked) {
                        told.push(run.refuse(&asked.id, why));
                        continue;
                    }
                    run.permissions.insert(asked.id.clone(), asked.clone());
                }
                CoderEvent::PermissionWithdrawn { id } => {
                    if run.permissions.remove(id).is_none() {
                        continue;
                    }
                }
                CoderEvent::Finished { end } => {
                    let open = std::mem::take(&mut run.permissions).into_keys();
                    told.extend(open.map(|id| CoderEvent::PermissionWithdrawn { id }));
                    run.finish(end);
                }
                CoderEvent::Retrying { .. } | CoderEvent::Waiting { .. } => run.retrying = true,
                CoderEvent::TextDelta { .. }
                | CoderEvent::Text { .. }
                | CoderEvent::Thinking { .. }
                | CoderEvent::FileChanged { .. }
                | CoderEvent::Plan { .. }
                | CoderEvent::Note { .. }
                | CoderEvent::Other { .. } => {}
            }
            taken.progress |= is_progress(&event);
            run.retrying &= !is_progress(&event);
            told.push(event);
        }
        if let Some(run) = &mut self.run {
            taken.events = run.border.pass(told);
        }
        taken
    }
}

impl Run {
    fn owe(&mut self, lines: Vec<String>) {
        for line in lines {
            if line.len() > MAX_OWED_LINE || self.owed_bytes + line.len() > MAX_OWED_BYTES {
                return self.garbled(format!("it wants an answer of {} bytes, or more than it reads", line.len()));
            }
            self.owed_bytes += line.len();
            self.owed.push_back(line);
        }
    }

    /// It says what cannot be taken: it is killed.
    fn garbled(&mut self, why: String) {
        self.dying = true;
        self.garbled.get_or_insert(why);
    }

    /// Why a permission cannot be asked for.
    fn cannot_ask(&self, asked: &Permission) -> Option<&'static str> {
        if !border::is_shown_whole(asked) {
            return Some(TOO_LONG);
        }
        (self.permissions.len() >= MAX_PERMISSIONS && !self.permissions.contains_key(&asked.id)).then_some(TOO_MANY)
    }

    /// Refuses a permission before anybody is asked.
    fn refuse(&mut self, permission: &str, why: &str) -> CoderEvent {
        let verdict = Verdict::Deny { why: why.to_owned() };
        let answer = CoderCommand::Answer { permission: permission.to_owned(), verdict };
        match self.dialect.command(&answer) {
            Ok(lines) => self.owe(lines),
            Err(Unsupported { why, .. }) => self.garbled(format!("it asks, and {why}")),
        }
        CoderEvent::Note { text: format!("what it asked for was refused: {why}") }
    }

    /// A turn ended: corrects how, if it was us who ended it.
    fn finish(&mut self, end: &mut CoderEnd) {
        self.tools.clear();
        if let Some(Ending::Stalled { phase, seconds }) = self.ending.take()
            && !matches!(end, CoderEnd::Done { .. })
        {
            let message = format!("no progress for {seconds} seconds while {}", phase.words());
            *end = CoderEnd::Failed { trouble: Trouble::Stalled, message };
        }
    }

    /// The program ended: says what a dialect cannot know.
    fn explain(&self, end: &mut CoderEnd, why: Option<&str>) {
        let CoderEnd::Failed { trouble: trouble @ Trouble::Crashed, message } = end else { return };
        if let Some(why) = &self.garbled {
            *trouble = Trouble::Garbled;
            message.clone_from(why);
            return;
        }
        match (&self.ending, why) {
            (Some(Ending::Ordered), _) => *end = CoderEnd::Interrupted,
            (Some(Ending::Killed { why }), _) => message.clone_from(why),
            (Some(Ending::Stalled { .. }), _) | (None, None) => {}
            (None, Some(why)) => *message = format!("{message} ({why})"),
        }
    }
}
