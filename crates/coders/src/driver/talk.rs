//! What the records of a job amount to: a pure function of them, record by record. Owns the rule that what a dialect would
//! write and what was written are matched in order; must not wait, read a clock or reach the supervisor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sandbox::{Record, What};
use serde_json::Value;

use crate::{
    CoderCommand, CoderEnd, CoderEvent, Dialect, Permission, Registry, Start, Stream, Totals, Trouble, Unsupported,
};

use super::{
    cause::{Cause, RunNote},
    mute::Mute,
    phase::{Phase, is_progress},
};

/// Lines that may wait for the program to read them. A program that provokes more answers than this is killed.
pub(super) const MAX_OWED: usize = 4096;
/// Tools and permissions that are kept in mind at once.
const MAX_OPEN: usize = 4096;

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
    /// What the dialect wants written and no record shows yet, oldest first.
    owed: VecDeque<String>,
    permissions: BTreeMap<String, Permission>,
    tools: BTreeSet<String>,
    spoken: bool,
    retrying: bool,
    ending: Option<Ending>,
    closing: bool,
    deaf: bool,
    dying: bool,
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
        let mut owed = VecDeque::from(dialect.open());
        if let Some(note) = note {
            if let Some(text) = note.prompt {
                self.commands += 1;
                self.refused = false;
                owed.extend(dialect.command(&CoderCommand::Prompt { text }).unwrap_or_default());
            }
            self.session.clone_from(&note.start.resume);
            self.coder = Some(note.coder);
            self.start = note.start;
        }
        self.run = Some(Run {
            dialect,
            owed,
            permissions: BTreeMap::new(),
            tools: BTreeSet::new(),
            spoken: false,
            retrying: false,
            ending: None,
            closing: false,
            deaf: false,
            dying: false,
        });
        Taken { progress: true, ..taken }
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Taken {
        let Some(run) = &mut self.run else { return Taken::default() };
        let heard = run.dialect.heard(stream, line);
        run.owe(heard.lines);
        self.settle(heard.events)
    }

    fn written(&mut self, cause: &Value, lines: &[String]) -> Taken {
        let taken = match serde_json::from_value::<Cause>(cause.clone()) {
            Ok(cause) => self.caused(cause),
            Err(_) => Taken::default(),
        };
        if let Some(run) = &mut self.run {
            run.owed.drain(..lines.len().min(run.owed.len()));
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
        for mut event in heard {
            let Some(run) = &mut self.run else { break };
            taken.progress |= is_progress(&event);
            match &mut event {
                CoderEvent::Started { session, .. } => {
                    taken.progress |= !run.spoken;
                    self.session = Some(session.clone());
                }
                CoderEvent::Spent(totals) => {
                    taken.progress |= self.spent != Some(*totals);
                    self.spent = Some(*totals);
                }
                CoderEvent::ToolStarted { id, .. } if run.tools.len() < MAX_OPEN => drop(run.tools.insert(id.clone())),
                CoderEvent::ToolFinished { id, .. } => drop(run.tools.remove(id)),
                CoderEvent::PermissionAsked(asked) => {
                    // One that cannot be kept in mind can never be answered, so nobody is asked.
                    if run.permissions.len() >= MAX_OPEN {
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
                    taken.events.extend(open.map(|id| CoderEvent::PermissionWithdrawn { id }));
                    run.finish(end);
                }
                CoderEvent::Retrying { .. } | CoderEvent::Waiting { .. } => run.retrying = true,
                CoderEvent::ToolStarted { .. }
                | CoderEvent::TextDelta { .. }
                | CoderEvent::Text { .. }
                | CoderEvent::Thinking { .. }
                | CoderEvent::FileChanged { .. }
                | CoderEvent::Plan { .. }
                | CoderEvent::Note { .. }
                | CoderEvent::Other { .. } => {}
            }
            run.spoken |= matches!(event, CoderEvent::Started { .. }) || is_progress(&event);
            run.retrying &= !is_progress(&event);
            taken.events.push(event);
        }
        taken
    }
}

impl Run {
    fn owe(&mut self, lines: Vec<String>) {
        self.owed.extend(lines);
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
        let CoderEnd::Failed { trouble: Trouble::Crashed, message } = end else { return };
        match (&self.ending, why) {
            (Some(Ending::Ordered), _) => *end = CoderEnd::Interrupted,
            (Some(Ending::Killed { why }), _) => message.clone_from(why),
            (Some(Ending::Stalled { .. }), _) | (None, None) => {}
            (None, Some(why)) => *message = format!("{message} ({why})"),
        }
    }
}
