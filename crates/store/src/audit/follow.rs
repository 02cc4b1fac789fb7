//! Reading a log from a place on, again and again, as it grows: for whoever ships it. It must not write, and reads every
//! byte once.

use std::{
    fs::File,
    io::{self, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{AuditError, Head, chain, read::next_line, segments};

/// A record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number and hash.
    pub head: Head,
    /// When it was recorded, in milliseconds since 1970.
    pub at: types::Timestamp,
    /// Its bytes, without the line break.
    pub bytes: Vec<u8>,
}

/// What was read in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records, oldest first.
    pub lines: Vec<Line>,
    /// The number of a record that is not the one it was before, or that does not follow the one before it: somebody
    /// changed the log after it had been read.
    pub parted: Option<u64>,
}

/// A place in a log that moves forward.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The last record that was given out.
    at: Head,
    open: Option<Open>,
}

/// The file that is being read. It stays open when the log goes on in another one.
#[derive(Debug)]
struct Open {
    file: File,
    /// Where the next line begins.
    offset: u64,
}

impl Follower {
    /// Begins after the record `at`, whether the log holds it or not.
    pub fn after(path: &Path, at: Head) -> Self {
        Self { path: path.to_owned(), at, open: None }
    }

    /// The last record that was given out.
    pub fn at(&self) -> &Head {
        &self.at
    }

    /// The next records up to the number `until`, at most so many and, after the first one, so many bytes. Empty at
    /// the end. Lines that are no records are passed over: verifying is not done here.
    pub fn next(&mut self, until: u64, records: usize, bytes: usize) -> Result<Batch, AuditError> {
        let path = self.path.clone();
        self.read(until, records, bytes).map_err(|error| AuditError::io("read", path, error))
    }

    fn read(&mut self, until: u64, records: usize, bytes: usize) -> io::Result<Batch> {
        let mut batch = Batch::default();
        let mut size = 0;
        while self.at.seq < until && batch.lines.len() < records {
            if self.open.is_none() {
                let path = segments::holding(&self.path, self.at.seq.max(1))?;
                self.open = Some(Open { file: File::open(path)?, offset: 0 });
            }
            let Some(open) = &mut self.open else { break };
            let before = (batch.lines.len(), open.offset);
            let full = open.read(&mut self.at, until, records, bytes, &mut size, &mut batch)?;
            let moved = before != (batch.lines.len(), open.offset);
            if full {
                break;
            }
            if !moved && !self.go_on()? {
                break;
            }
        }
        Ok(batch)
    }

    /// Goes on with the file after this one, if this one is full. False when there is none.
    fn go_on(&mut self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        let path = segments::holding(&self.path, self.at.seq + 1)?;
        let (ours, next) = (open.file.metadata()?, std::fs::metadata(&path)?);
        if (ours.dev(), ours.ino()) == (next.dev(), next.ino()) {
            return Ok(false);
        }
        self.open = Some(Open { file: File::open(path)?, offset: 0 });
        Ok(true)
    }
}

impl Open {
    /// Reads on in this file. True when the batch is full.
    fn read(
        &mut self,
        at: &mut Head,
        until: u64,
        records: usize,
        bytes: usize,
        size: &mut usize,
        batch: &mut Batch,
    ) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        let mut lines = BufReader::with_capacity(64 << 10, &self.file);
        let mut line = Vec::new();
        while next_line(&mut lines, &mut line)? {
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let read = line.len() as u64;
            let Ok(link) = chain::parse(text) else {
                self.offset += read;
                continue;
            };
            if link.seq > until || batch.lines.len() == records || (*size > 0 && *size + line.len() > bytes) {
                return Ok(true);
            }
            self.offset += read;
            if link.seq < at.seq {
                continue;
            }
            if link.seq == at.seq {
                if link.hash != at.hash {
                    batch.parted.get_or_insert(link.seq);
                }
                continue;
            }
            if link.prev != at.hash && at.seq > 0 {
                batch.parted.get_or_insert(link.seq);
            }
            *size += line.len();
            *at = Head { seq: link.seq, hash: link.hash };
            batch.lines.push(Line { head: at.clone(), at: link.at, bytes: text.to_vec() });
        }
        Ok(false)
    }
}
