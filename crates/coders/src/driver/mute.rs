//! Who listens to a program that no dialect is known for.

use crate::{CoderCommand, CoderEvent, Dialect, Heard, Stream, Unsupported};

/// Hears everything and understands nothing: the records name a coding agent that the configuration does not have any more,
/// or a program that is none.
pub(super) struct Mute;

impl Dialect for Mute {
    fn open(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn heard(&mut self, _: Stream, _: &str) -> Heard {
        Heard::default()
    }

    fn command(&mut self, _: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        Err(Unsupported { coder: "this coding agent", why: "is not in the configuration any more" })
    }

    fn ended(&mut self, _: Option<i32>) -> Vec<CoderEvent> {
        Vec::new()
    }

    fn is_busy(&self) -> bool {
        false
    }
}
