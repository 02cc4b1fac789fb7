//! The file of records, from the supervisor's side: one record, one line, one `write`, in order, never changed. While the disk is
//! full records wait in memory, and their number is bounded because nothing more is read meanwhile.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    path::Path,
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, ftruncate, openat},
    io::Errno,
};
use tokio::sync::watch;

use super::{Record, What, protocol::Written, tail};

/// The file in a supervisor's directory.
pub(super) const FILE: &str = "records.jsonl";

/// The file of records of the one supervisor of a directory.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// What was written.
    written: Written,
    /// The number of the last record, written or held.
    seq: u64,
    /// Records that the disk had no room for.
    held: VecDeque<Vec<u8>>,
    tell: watch::Sender<Written>,
    clock: fn() -> i64,
}

/// What an earlier supervisor left in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// The number of its last run.
    pub runs: u64,
    /// Whether that run has no end.
    pub is_open: bool,
    /// Whether somebody sat at a terminal.
    pub has_terminal: bool,
}

impl Journal {
    /// Opens the file for the one who writes, mends it, and says what an earlier supervisor left. Fails with `WouldBlock` when
    /// another supervisor lives in the directory. `clock` gives milliseconds since 1970.
    pub fn open(directory: &Path, clock: fn() -> i64) -> io::Result<(Self, Left)> {
        let (file, found) = open_and_mend(directory, true)?;
        let written = Written { seq: found.seq, bytes: found.bytes };
        let left = Left { runs: found.runs, is_open: found.is_open, has_terminal: found.has_terminal };
        let seq = found.seq;
        let mut journal = Self { file, written, seq, held: VecDeque::new(), tell: watch::Sender::new(written), clock };
        if found.torn > 0 {
            journal
                .add(What::Note { text: format!("{} bytes of a record that was cut short were removed", found.torn) });
        }
        Ok((journal, left))
    }

    /// Who wants to know how far it has come.
    pub fn subscribe(&self) -> watch::Receiver<Written> {
        self.tell.subscribe()
    }

    /// How far it has come.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Whether records wait for room on the disk.
    pub fn is_full(&self) -> bool {
        !self.held.is_empty()
    }

    /// Writes a record, or keeps it for when there is room.
    pub fn add(&mut self, what: What) {
        self.seq += 1;
        let record = Record { seq: self.seq, at: (self.clock)(), what };
        let mut line = serde_json::to_vec(&record).expect("a record has only texts for keys");
        line.push(b'\n');
        self.held.push_back(line);
        self.retry();
    }

    /// Writes a record now or not at all, and says which.
    pub fn add_now(&mut self, what: What) -> bool {
        self.retry();
        if self.is_full() {
            return false;
        }
        self.add(what);
        if self.is_full() {
            self.held.clear();
            self.seq -= 1;
            return false;
        }
        true
    }

    /// Tries again to write what waits.
    pub fn retry(&mut self) {
        let before = self.written;
        while let Some(line) = self.held.front() {
            match self.file.write(line) {
                Ok(length) if length == line.len() => {
                    self.written.seq += 1;
                    self.written.bytes += length as u64;
                    self.held.pop_front();
                }
                // A piece of a record must not stay: nobody may take it for one.
                Ok(_) | Err(_) => {
                    _ = ftruncate(&self.file, self.written.bytes);
                    break;
                }
            }
        }
        if self.written != before {
            self.tell.send_replace(self.written);
        }
    }

    /// Waits until all that is written is on the disk.
    pub fn sync(&self) {
        // Without it a cut of power loses the last records, and the program that they are about with them.
        _ = self.file.sync_data();
    }
}

/// Removes what a supervisor that died in the middle of a record left, if none lives in the directory.
pub(super) fn mend(directory: &Path) -> io::Result<()> {
    match open_and_mend(directory, false) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => Ok(()),
        Err(error) => Err(error),
    }
}

fn open_and_mend(directory: &Path, create: bool) -> io::Result<(File, tail::Found)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let flags = if create { flags | OFlags::CREATE } else { flags };
    let file = File::from(openat(CWD, directory.join(FILE), flags, Mode::from_raw_mode(0o600))?);
    // Held as long as the file is open, so it tells as well whether a supervisor lives.
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        Errno::WOULDBLOCK => io::Error::new(io::ErrorKind::WouldBlock, "a supervisor lives in this directory already"),
        other => other.into(),
    })?;
    let found = tail::scan(&file)?;
    if found.torn > 0 {
        ftruncate(&file, found.bytes)?;
    }
    Ok((file, found))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn line(text: &str) -> What {
        What::Out { line: text.to_owned() }
    }

    fn seqs(directory: &Path) -> io::Result<Vec<u64>> {
        let text = fs::read_to_string(directory.join(FILE))?;
        text.lines().map(|line| Ok(serde_json::from_str::<Record>(line).map_err(io::Error::other)?.seq)).collect()
    }

    #[test]
    fn only_one_writes_and_the_next_goes_on_where_it_ended() -> Outcome {
        let place = tempfile::tempdir()?;
        let (mut journal, left) = Journal::open(place.path(), || 7)?;
        assert_eq!(left, Left::default());
        journal.add(What::Started { run: 1, argv: vec!["x".to_owned()], note: serde_json::Value::Null });
        journal.add(line("a\n\u{0}b"));
        let other = Journal::open(place.path(), || 7).err().ok_or("two wrote")?;
        assert_eq!(other.kind(), io::ErrorKind::WouldBlock);
        drop(journal);
        fs::write(place.path().join("torn"), "{\"seq\":3,\"at\"")?;
        let mut text = fs::read(place.path().join(FILE))?;
        text.extend(b"{\"seq\":3,\"at\":7,\"wh");
        fs::write(place.path().join(FILE), text)?;
        mend(place.path())?;
        assert_eq!(seqs(place.path())?, [1, 2]);
        let (mut journal, left) = Journal::open(place.path(), || 7)?;
        assert_eq!(left, Left { runs: 1, is_open: true, has_terminal: false });
        journal.add(What::Ended { code: None, signal: None, why: None });
        drop(journal);
        let (_, left) = Journal::open(place.path(), || 7)?;
        assert_eq!((left, seqs(place.path())?), (Left { runs: 1, is_open: false, has_terminal: false }, vec![1, 2, 3]));
        Ok(())
    }

    #[test]
    fn a_torn_end_is_remarked() -> Outcome {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join(FILE), "{\"seq\":1")?;
        drop(Journal::open(place.path(), || 7)?);
        let text = fs::read_to_string(place.path().join(FILE))?;
        assert_eq!(
            text,
            "{\"seq\":1,\"at\":7,\"what\":\"note\",\"text\":\"8 bytes of a record that was cut short were removed\"}\n"
        );
        Ok(())
    }
}
