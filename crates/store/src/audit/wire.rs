//! What the daemon and the writer process say to each other: one JSON object a line, a question and its answer in turn.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{AuditEntry, Head};

/// The most bytes of one message.
pub(super) const MAX_MESSAGE: u64 = 64 << 20;
/// The most bytes of entries in one question.
pub(super) const MAX_ENTRIES: usize = 8 << 20;
/// The most records that an answer repeats.
pub(super) const MAX_REPEATED: usize = 512;

/// What the daemon asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// Where does the log end, and what stands after this record?
    Hello {
        /// The last record that the daemon knows of.
        after: u64,
    },
    /// Append these after this record, all of them or none.
    Append {
        /// The end of the log as the daemon knows it.
        after: Head,
        /// What to append.
        entries: Vec<AuditEntry>,
    },
}

/// What the writer answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Answer {
    /// To a hello.
    State {
        /// The end of the log.
        head: Head,
        /// The hash of the record that was named; none if the log does not reach so far.
        at: Option<String>,
        /// The records after it, as they stand in the log, at most [`MAX_REPEATED`].
        lines: Vec<String>,
        /// Whether the kernel lets the file only grow.
        only_grows: bool,
    },
    /// They are on the disk.
    Appended {
        /// The number of the first.
        first: u64,
        /// The end of the log.
        head: Head,
    },
    /// The log does not end where the daemon thinks; nothing was done.
    Stale,
    /// The disk is full; nothing was done.
    DiskFull,
    /// Something else stands in the way; nothing counts as recorded.
    Failed {
        /// What.
        why: String,
    },
}

/// Writes one message.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(message)?;
    text.push(b'\n');
    to.write_all(&text)?;
    to.flush()
}

/// Reads one message; none at the end of the stream.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut text = Vec::new();
    if from.take(MAX_MESSAGE).read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    if !text.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a message was cut off"));
    }
    serde_json::from_slice(&text).map(Some).map_err(io::Error::from)
}
