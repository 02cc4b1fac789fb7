//! Reading the file of records: from its beginning, then as it grows.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Deserialize;
use tokio::sync::watch;

use super::{Record, What, client::Inner, journal::FILE, protocol::Written};
use crate::SandboxError;

/// How much is read at once. So little comes from the page cache or by the kernel's reading ahead, so that it is not worth a
/// thread.
const CHUNK: usize = 64 * 1024;

/// The records of a job, oldest first.
#[derive(Debug)]
pub struct Records {
    file: Arc<File>,
    /// Where the next piece is read.
    offset: u64,
    buffer: Vec<u8>,
    /// What of the buffer was given out.
    used: usize,
    /// What of it was searched for the end of a line.
    searched: usize,
    /// The number of the last record that was given out.
    seq: u64,
    /// How far it has come; none for a file that is read to its end only.
    written: Option<watch::Receiver<Written>>,
    /// Keeps the connection that tells how far.
    _connection: Option<Arc<Inner>>,
}

/// As much of a record as every version has.
#[derive(Deserialize)]
struct AnyRecord {
    seq: u64,
    #[serde(default)]
    at: i64,
}

/// Opens the file of a supervisor's directory for reading.
pub(super) fn open(directory: &Path) -> Result<Arc<File>, SandboxError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(CWD, directory.join(FILE), flags, Mode::empty()) {
        Ok(file) => Ok(Arc::new(File::from(file))),
        Err(error) => {
            Err(SandboxError::Supervisor(format!("its records cannot be opened: {}", io::Error::from(error))))
        }
    }
}

impl Records {
    /// What is in the file of a supervisor's directory now, whether a supervisor lives there or not.
    pub fn of(directory: &Path) -> Result<Self, SandboxError> {
        Ok(Self::new(open(directory)?, None, None))
    }

    pub(super) fn new(
        file: Arc<File>,
        written: Option<watch::Receiver<Written>>,
        connection: Option<Arc<Inner>>,
    ) -> Self {
        Self { file, offset: 0, buffer: Vec::new(), used: 0, searched: 0, seq: 0, written, _connection: connection }
    }

    /// The next record. Waits for one as long as the supervisor lives; none after its last. Nothing is lost when this is
    /// given up while it waits.
    pub async fn next(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.take() {
                return Some(record);
            }
            let end = match &mut self.written {
                None => u64::MAX,
                Some(written) => {
                    let offset = self.offset;
                    match written.wait_for(|written| written.bytes > offset).await {
                        Ok(written) => written.bytes,
                        // The supervisor is gone, or the connection to it: what is in the file is all.
                        Err(_) => u64::MAX,
                    }
                }
            };
            if !self.read(end) {
                return None;
            }
        }
    }

    /// Reads a piece that does not go beyond `end`. False when there is nothing more.
    fn read(&mut self, end: u64) -> bool {
        self.buffer.drain(..self.used);
        self.searched -= self.used;
        self.used = 0;
        let wanted = usize::try_from(end - self.offset).unwrap_or(usize::MAX).min(CHUNK);
        let before = self.buffer.len();
        self.buffer.resize(before + wanted, 0);
        let room = self.buffer.get_mut(before..).unwrap_or_default();
        let got = match self.file.read_at(room, self.offset) {
            Ok(got) => got,
            Err(error) => {
                tracing::error!(%error, "the records of a job cannot be read");
                0
            }
        };
        self.buffer.truncate(before + got);
        self.offset += got as u64;
        got > 0
    }

    /// The first record of the buffer, if it is whole.
    fn take(&mut self) -> Option<Record> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + length;
        let line = self.buffer.get(self.used..end).unwrap_or_default();
        let record = parse(line, self.seq);
        (self.used, self.searched) = (end + 1, end + 1);
        self.seq = record.seq;
        Some(record)
    }
}

/// A record of a newer version, or one that the disk has spoilt, becomes a note in its place.
fn parse(line: &[u8], before: u64) -> Record {
    serde_json::from_slice(line).unwrap_or_else(|error| {
        let known = serde_json::from_slice(line).unwrap_or(AnyRecord { seq: before + 1, at: 0 });
        let text = format!("a record that cannot be read: {error}");
        Record { seq: known.seq, at: known.at, what: What::Note { text } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::journal::Journal;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[tokio::test]
    async fn records_come_whole_and_in_order_however_they_lie_in_the_pieces() -> Outcome {
        let place = tempfile::tempdir()?;
        let (mut journal, _) = Journal::open(place.path(), || 0)?;
        let lengths = [0, 10, CHUNK - 60, CHUNK, 3 * CHUNK, 1, 2];
        for length in lengths {
            journal.add(What::Out { line: "x".repeat(length) });
        }
        let mut records = Records::new(open(place.path())?, Some(journal.subscribe()), None);
        for (length, seq) in lengths.into_iter().zip(1..) {
            let record = records.next().await.ok_or("too few")?;
            assert_eq!((record.seq, record.what), (seq, What::Out { line: "x".repeat(length) }));
        }
        let more = tokio::time::timeout(std::time::Duration::from_millis(20), records.next()).await;
        assert!(more.is_err(), "it waits");
        journal.add(What::Note { text: "late".to_owned() });
        assert_eq!(records.next().await.ok_or("none")?.seq, 8);
        drop(journal);
        assert_eq!(records.next().await, None);
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_note() -> Outcome {
        let place = tempfile::tempdir()?;
        let text = "{\"seq\":1,\"at\":5,\"what\":\"danced\",\"how\":\"well\"}\nnonsense\n{\"seq\":3,\"at\":6,\"what\":\"err\",\"line\":\"x\"}\n{\"seq\":4";
        std::fs::write(place.path().join(FILE), text)?;
        let mut records = Records::of(place.path())?;
        let mut seen = Vec::new();
        while let Some(record) = records.next().await {
            seen.push((record.seq, record.at, matches!(record.what, What::Note { .. })));
        }
        assert_eq!(seen, [(1, 5, true), (2, 0, true), (3, 6, false)]);
        Ok(())
    }
}
