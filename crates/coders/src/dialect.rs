//! The seam to a coding agent's language: a pure state machine between lines and our own words.

use crate::{CoderCommand, CoderEvent, Unsupported};

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; or the bridge, where the program is spoken to over HTTP.
    Out,
    /// Standard error.
    Err,
}

/// What follows from a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// What happened.
    pub events: Vec<CoderEvent>,
    /// What the protocol wants written in turn, without the line ends: an acknowledgement, the next request of a handshake.
    pub lines: Vec<String>,
    /// Why nothing more can come of this program, if so: it has no conversation and will get none, or it says what cannot be
    /// taken. A turn that ran is over, or is when the program has ended. It is killed; the next prompt starts another one.
    pub broken: Option<String>,
}

impl Heard {
    /// Events alone.
    pub fn told(events: impl IntoIterator<Item = CoderEvent>) -> Self {
        Self { events: events.into_iter().collect(), ..Self::default() }
    }

    /// Lines alone.
    pub fn wrote(lines: Vec<String>) -> Self {
        Self { lines, ..Self::default() }
    }

    /// The end of what can come of this program.
    pub fn broken(why: String) -> Self {
        Self { broken: Some(why), ..Self::default() }
    }
}

/// One program's conversation with a coding agent. Pure and deterministic: fed the same lines and commands in the same
/// order, it says the same. That is how a daemon that was killed finds its way back in.
///
/// Must never fail or panic on what the program says: unknown things become [`CoderEvent::Other`] or
/// [`CoderEvent::Note`].
pub trait Dialect: Send {
    /// What is written when the program has just started.
    fn open(&mut self) -> Vec<String>;

    /// Takes in one line that the program wrote. It may be cut where it was longer than the supervisor keeps.
    fn heard(&mut self, stream: Stream, line: &str) -> Heard;

    /// Turns a command into lines. A command that changes nothing, such as an interrupt when nothing runs, gives none. The
    /// first prompt comes right after [`Dialect::open`]: where a handshake must be over before, the dialect keeps it and gives
    /// its lines in [`Dialect::heard`]. A program that reads nothing is told its prompt as well, so that it counts as busy.
    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported>;

    /// The program ended: by itself with a code, or by a signal. Says how its turn ended if that was not said yet.
    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent>;

    /// Whether a turn runs.
    fn is_busy(&self) -> bool;
}
