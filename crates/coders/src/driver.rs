//! Drives one job's coding agent: ties its supervisor, where lines come from and go to, to the dialect that understands them.
//! Owns that nothing is written twice or forgotten across restarts, and that a coding agent that makes no progress is ended.
//! Must not decide what is allowed, book anything, or keep state that the records do not have. Start with [`Driver`].

mod cause;
mod cursor;
mod error;
mod host;
mod mute;
mod phase;
mod replay;
mod supervised;
mod talk;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use policy::Grant;
use sandbox::{Record, SandboxError};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::{Coder, CoderCommand, CoderEvent, Launch, Permission, Registry, Start, Totals};

use cause::{Cause, RunNote};
pub use cursor::{Cursor, Lost};
pub use error::DriverError;
pub use host::{Host, Order, RecordSource};
pub use phase::{Phase, StallLimits};
pub use replay::{Replay, Shown};
use talk::{MAX_OWED, Refused, Taken, Talk};

/// After an order failed, how long records may still explain it, such as by the end of the program.
const EXPLAINED: Duration = Duration::from_secs(3);
/// How long the supervisor may take to carry out an order.
const ORDER: Duration = Duration::from_secs(30);
/// The most bytes of lines in one order, unless one line is longer.
const AT_ONCE: usize = 1024 * 1024;
/// How many times the program is told to die.
const KILLS: u32 = 3;

/// Something that a coding agent said, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its place. The same event has the same place each time that the records are read.
    pub cursor: Cursor,
    /// Whether it is the last one of its record.
    pub last: bool,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What.
    pub event: CoderEvent,
}

/// The driver of one job's coding agent.
pub struct Driver<H: Host> {
    host: H,
    records: H::Records,
    talk: Talk,
    limits: StallLimits,
    /// Events up to here are known to whoever listens.
    after: Cursor,
    /// Why that is another place than whoever listens believed.
    lost: Option<Lost>,
    /// The last record that was read.
    read: u64,
    unsaid: VecDeque<Said>,
    /// Tells what the records had already said, before what is unsaid.
    teller: Option<Teller<H::Records>>,
    /// The order under way, and when it is given up.
    order: Option<(Order, Instant)>,
    /// Lines that were ordered to be written and that no record shows yet.
    sent: usize,
    /// An order that failed, and until when that may turn out to be of no importance.
    failed: Option<(SandboxError, Instant)>,
    /// How often the program was told to die.
    kills: u32,
    causes: u64,
    outcome: Option<(u64, Result<(), Refused>)>,
    since: Instant,
    over: bool,
}

impl<H: Host> Driver<H> {
    /// Attaches to a job's supervisor. Every record that there is by now is read at once, so that what the driver knows is how
    /// things stand. What was said after `after` comes from [`Driver::next`]; where that is no place in these records, what
    /// comes from now on does, and [`Driver::lost`] says so.
    pub async fn attach(host: H, coders: Registry, after: Cursor, limits: StallLimits) -> Result<Self, DriverError> {
        let last = host.last();
        let mut driver = Self {
            records: host.records(),
            host,
            talk: Talk::new(coders),
            limits,
            after,
            lost: None,
            read: 0,
            unsaid: VecDeque::new(),
            teller: None,
            order: None,
            sent: 0,
            failed: None,
            kills: 0,
            // Each command leaves a record, so no number comes twice.
            causes: last,
            outcome: None,
            since: Instant::now(),
            over: false,
        };
        let (mut found, mut end) = (after.seq == 0, Cursor::default());
        while driver.read < last && !driver.over {
            let record = driver.records.next().await;
            if let Some(record) = &record {
                found |= after.is_in(record);
                end = Cursor::after_record(record);
            }
            driver.take(record);
            // It may be any number of events; they are told one record at a time.
            driver.unsaid.clear();
        }
        if !found {
            driver.lost = Some(if after.seq > driver.read { Lost::Short } else { Lost::Other });
            driver.after = end;
        } else if last > 0 {
            let (records, talk) = (driver.host.records(), Talk::new(driver.talk.registry().clone()));
            driver.teller = Some(Teller { records, talk, until: driver.read, unsaid: VecDeque::new() });
        }
        Ok(driver)
    }

    /// Starts a coding agent's program. `launch` is what its [`crate::Coder`] gave for the same `start` and `prompt`, with
    /// what the owner adds to it; its seed files must be in place. The events of the program before are told first.
    pub async fn start(
        &mut self,
        grant: &Grant,
        coder: &str,
        start: &Start,
        prompt: Option<&str>,
        launch: &Launch,
    ) -> Result<(), DriverError> {
        let Some(fleeting) = self.talk.registry().get(coder).map(Coder::fleeting) else {
            return Err(DriverError::Unknown(coder.to_owned()));
        };
        self.settle().await?;
        if self.talk.is_running() {
            return Err(DriverError::Running);
        }
        let note = RunNote { coder: coder.to_owned(), start: start.clone(), prompt: prompt.map(str::to_owned) };
        let note = serde_json::to_value(note).expect("a note has nothing but texts and numbers");
        self.host.run(grant, launch, fleeting, note).await?;
        while !self.talk.is_running() && !self.over {
            self.step().await?;
        }
        Ok(())
    }

    /// What the coding agent says next; none when its supervisor is gone. May be dropped half-way: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Said>, DriverError> {
        loop {
            if let Some(said) = self.unheard().await {
                return Ok(Some(said));
            }
            if self.over {
                return Ok(None);
            }
            self.step().await?;
        }
    }

    /// What the records that were read hold and that was not told yet. Unlike [`Driver::next`] it reads no new ones. May be
    /// dropped half-way.
    pub async fn unheard(&mut self) -> Option<Said> {
        if let Some(teller) = &mut self.teller {
            if let Some(said) = teller.next(self.after).await {
                return Some(said);
            }
            self.teller = None;
        }
        self.unsaid.pop_front()
    }

    /// Tells the coding agent something. Returns when it is recorded and cannot be lost any more; the lines follow while
    /// [`Driver::next`] is waited for. Dropped half-way, it may have been recorded.
    pub async fn command(&mut self, command: CoderCommand) -> Result<(), DriverError> {
        self.settle().await?;
        // One that is of no use any more is not told anything.
        while self.talk.must_die() && !self.over {
            self.step().await?;
        }
        if !self.talk.is_running() {
            return Err(DriverError::NotRunning);
        }
        self.causes += 1;
        let id = self.causes;
        self.outcome = None;
        self.record(&Cause::Command { id, command });
        loop {
            match self.outcome.take() {
                Some((of, outcome)) if of == id => return outcome.map_err(Refused::into_error),
                _ if self.over || (!self.talk.is_running() && self.order.is_none()) => {
                    return Err(DriverError::NotRunning);
                }
                _ => self.step().await?,
            }
        }
    }

    /// Kills the program with all that it started, and waits until its end is recorded. A turn that ran has then finished.
    pub async fn kill(&mut self, why: &str) -> Result<(), DriverError> {
        self.settle().await?;
        if !self.talk.is_running() {
            return Ok(());
        }
        self.record(&Cause::Killed { why: why.to_owned() });
        while self.talk.is_running() && !self.over {
            self.step().await?;
        }
        Ok(())
    }

    /// Where what was told begins; after an event was told, whoever listens knows better.
    pub fn after(&self) -> Cursor {
        self.after
    }

    /// Why it begins at another place than it was to. What was said before that place is not told.
    pub fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// Whether a program runs, as far as its records tell.
    pub fn is_running(&self) -> bool {
        self.talk.is_running()
    }

    /// Whether a program runs of which nothing more can come: it is killed, and another one may be started then.
    pub fn is_broken(&self) -> bool {
        self.talk.must_die()
    }

    /// Whether a turn runs, as far as its records tell.
    pub fn is_busy(&self) -> bool {
        self.talk.is_busy()
    }

    /// What it is doing, as far as its records tell.
    pub fn phase(&self) -> Phase {
        self.talk.phase()
    }

    /// The permissions that wait for an answer, as far as its records tell.
    pub fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.talk.permissions()
    }

    /// How many commands the records hold, as far as they were read: those that were refused, and the prompts that programs were
    /// started with, included.
    pub fn commands(&self) -> u64 {
        self.talk.commands()
    }

    /// Whether the last of them had no effect, as far as the records were read.
    pub fn is_refused(&self) -> bool {
        self.talk.is_refused()
    }

    /// Which coding agent ran last.
    pub fn coder(&self) -> Option<&str> {
        self.talk.coder()
    }

    /// What the last conversation was started from, without its placeholder.
    pub fn started_from(&self) -> &Start {
        self.talk.start()
    }

    /// The coding agent's own name for its last conversation, to resume it.
    pub fn conversation(&self) -> Option<&str> {
        self.talk.session()
    }

    /// What the last conversation has used so far, as it said last.
    pub fn spent(&self) -> Option<Totals> {
        self.talk.spent()
    }

    /// Reads what there is and waits for the order under way.
    async fn settle(&mut self) -> Result<(), DriverError> {
        let last = self.host.last();
        while !self.over && (self.read < last || self.order.is_some()) {
            self.step().await?;
        }
        Ok(())
    }

    /// Waits for the next thing that happens: a record, the end of an order, or too long a silence.
    async fn step(&mut self) -> Result<(), DriverError> {
        self.act();
        let silent = self.limits.of(self.talk.phase()).map(|limit| self.since + limit);
        let late = match (&self.failed, &self.order) {
            (Some((_, until)), _) | (None, Some((_, until))) => Some(*until),
            (None, None) => silent,
        };
        let order = self.order.as_mut().map(|(order, _)| order);
        tokio::select! {
            biased;
            record = self.records.next() => self.take(record),
            result = async { order.expect("it is only asked where there is one").await }, if order.is_some() => {
                self.order = None;
                match result {
                    // No record will explain it.
                    Err(error @ SandboxError::TooLarge { .. }) => return Err(error.into()),
                    Err(error) if self.talk.is_running() => self.failed = Some((error, Instant::now() + EXPLAINED)),
                    // What was meant for a program that has ended is of no importance.
                    Ok(()) | Err(_) => {}
                }
            }
            () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => return self.too_late(),
        }
        Ok(())
    }

    /// Gives the order that is due, if none is under way.
    fn act(&mut self) {
        if self.order.is_some() || self.failed.is_some() || self.over {
            return;
        }
        if self.talk.must_die() {
            if self.kills == 0 {
                self.end_program();
            }
            return;
        }
        if self.talk.owed().len() > MAX_OWED {
            self.record_kill("it wants more answers than it reads");
        } else if self.talk.is_deaf() {
            self.record_kill("it cannot be interrupted");
        } else if self.talk.owed().len() > self.sent && self.sent == 0 {
            let lines = one_order(self.talk.owed());
            self.sent = lines.len();
            let order = self.host.write(Value::Null, lines);
            self.give(order);
        }
    }

    /// A limit has passed.
    fn too_late(&mut self) -> Result<(), DriverError> {
        if let Some((error, _)) = self.failed.take() {
            return Err(error.into());
        }
        if self.order.take().is_some() {
            return Err(DriverError::Slow);
        }
        self.since = Instant::now();
        let phase = self.talk.phase();
        match phase {
            Phase::Idle | Phase::Asking => {}
            Phase::Starting | Phase::Thinking | Phase::Tool | Phase::Retrying => {
                let seconds = self.limits.of(phase).unwrap_or_default().as_secs();
                self.record(&Cause::Stalled { phase, seconds });
            }
            Phase::Stopping => self.record_kill("it did not stop when it was told to"),
            Phase::Dying if self.kills >= KILLS => return Err(DriverError::Stuck),
            Phase::Dying => self.end_program(),
        }
        Ok(())
    }

    fn record_kill(&mut self, why: &str) {
        self.record(&Cause::Killed { why: why.to_owned() });
    }

    fn record(&mut self, cause: &Cause) {
        let order = self.host.write(cause.to_value(), Vec::new());
        self.give(order);
    }

    fn give(&mut self, order: Order) {
        self.order = Some((order, Instant::now() + ORDER));
    }

    fn end_program(&mut self) {
        self.kills += 1;
        let order = self.host.end_program();
        self.give(order);
    }

    fn take(&mut self, record: Option<Record>) {
        let Some(record) = record else {
            self.over = true;
            return;
        };
        self.read = record.seq;
        let phase = self.talk.phase();
        let Taken { events, outcome, progress } = self.talk.take(&record);
        if progress || phase != self.talk.phase() {
            self.since = Instant::now();
        }
        self.outcome = outcome.or(self.outcome.take());
        if let sandbox::What::In { lines, .. } = &record.what {
            self.sent = self.sent.saturating_sub(lines.len());
        }
        if !self.talk.is_running() {
            (self.sent, self.kills) = (0, 0);
            self.failed = None;
        }
        self.unsaid.extend(said(&record, events, self.after));
    }
}

/// As many of the lines that are owed as fit one order; the rest follows.
fn one_order<'a>(owed: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut bytes = 0;
    let mut lines = Vec::new();
    for line in owed {
        bytes += line.len();
        if bytes > AT_ONCE && !lines.is_empty() {
            break;
        }
        lines.push(line.clone());
    }
    lines
}

/// The events of a record that come after a place.
fn said(record: &Record, events: Vec<CoderEvent>, after: Cursor) -> impl Iterator<Item = Said> {
    let (count, seq, at) = (events.len(), record.seq, record.at);
    let said = events.into_iter().enumerate().map(move |(index, event)| Said {
        cursor: Cursor { seq, index: u32::try_from(index).unwrap_or(u32::MAX), at },
        last: index + 1 == count,
        at,
        event,
    });
    said.filter(move |said| said.cursor > after)
}

/// Reads the records once more from the beginning, for their events.
struct Teller<R> {
    records: R,
    talk: Talk,
    /// The last record that it tells of.
    until: u64,
    unsaid: VecDeque<Said>,
}

impl<R: RecordSource> Teller<R> {
    async fn next(&mut self, after: Cursor) -> Option<Said> {
        loop {
            if let Some(said) = self.unsaid.pop_front() {
                return Some(said);
            }
            if self.until == 0 {
                return None;
            }
            let Some(record) = self.records.next().await else {
                self.until = 0;
                continue;
            };
            let events = self.talk.take(&record).events;
            if record.seq >= self.until {
                self.until = 0;
            }
            self.unsaid.extend(said(&record, events, after));
        }
    }
}

impl Refused {
    fn into_error(self) -> DriverError {
        match self {
            Self::NotRunning => DriverError::NotRunning,
            Self::NotAsked(id) => DriverError::NotAsked(id),
            Self::Idle => DriverError::Idle,
            Self::Unsupported(unsupported) => unsupported.into(),
        }
    }
}
