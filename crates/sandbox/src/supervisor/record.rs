//! What a supervisor writes down: one JSON text to a line, in the order in which things happened, never changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of the file of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counted from 1, without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A program was started.
    Started {
        /// Counted from 1; later records are about this program until it ended.
        run: u64,
        /// Its arguments, the program's name first.
        argv: Vec<String>,
        /// What the daemon wants to find again, such as which coding agent it is and what it was started from.
        note: Value,
    },
    /// The program wrote a line to its standard output, or the bridge has one from it.
    Out {
        /// Without its end; cut after [`MAX_LINE`] bytes. What is not UTF-8 is replaced.
        line: String,
    },
    /// The program wrote a line to its standard error.
    Err {
        /// The same.
        line: String,
    },
    /// The daemon wrote lines to the program. Recorded before they are written.
    In {
        /// What made the daemon write them; null where the protocol wanted it by itself.
        cause: Value,
        /// The lines, without their ends. May be empty: the cause alone counts.
        lines: Vec<String>,
    },
    /// The program ended, with everything that it started.
    Ended {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
        /// The signal.
        signal: Option<i32>,
        /// Why it was ended from outside, where it was: `killed`, `out of memory`, `disk full`, `too late`.
        why: Option<String>,
    },
    /// A program with a terminal was started: a person works.
    TerminalOpened {
        /// Its arguments.
        argv: Vec<String>,
    },
    /// It ended.
    TerminalClosed {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
    },
    /// The supervisor's own remark, such as that lines were left out.
    Note {
        /// The text.
        text: String,
    },
}

/// The most bytes of a line that are kept.
pub const MAX_LINE: usize = 4 * 1024 * 1024;
