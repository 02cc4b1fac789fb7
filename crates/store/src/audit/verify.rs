//! Proof that the log is whole: nothing was edited, removed, inserted, moved or, with the end that the database
//! remembers, cut off.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use super::{Head, chain, read::next_line, segments};

/// The log is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// The hash of the last one in hex; 64 zeros when there is none.
    pub last_hash: String,
}

/// The log is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {why}", file.as_ref().map(|file| format!(" of {}", file.display())).unwrap_or_default())]
pub struct Broken {
    /// The first line that is wrong, from 1; 0 when the file as a whole cannot be read.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
    /// The file, if it is not the one that was named.
    pub file: Option<PathBuf>,
}

/// Checks the chain from the first record to the last. A log that was cut off at the end of a record passes: only
/// [`verify_with_head`] finds that.
pub fn verify(path: &Path) -> Result<Verified, Broken> {
    walk(path, None)
}

/// Checks the chain, and that it reaches the end that the database remembers. The log may be longer than that.
pub fn verify_with_head(path: &Path, head: &Head) -> Result<Verified, Broken> {
    walk(path, Some(head))
}

fn walk(path: &Path, known: Option<&Head>) -> Result<Verified, Broken> {
    let mut walker = Walker { known, head: Head::start(), torn: None };
    let broken = |file: &Path, line, why| Broken { line, why, file: (file != path).then(|| file.to_owned()) };
    let unreadable = |error: std::io::Error| format!("the log cannot be read: {error}");
    let files = segments::open_all(path).map_err(|error| broken(path, 0, unreadable(error)))?;
    let last = files.len().saturating_sub(1);
    let mut number = 0;
    for (at, (name, file)) in files.into_iter().enumerate() {
        number = walker.file(file).map_err(|(line, why)| broken(&name, line, why))?;
        if let Some((line, why)) = walker.torn.take().map(|torn| (torn.line, torn.why)) {
            return Err(broken(&name, line, why));
        }
        if at < last {
            number = 0;
        }
    }
    let head = walker.head;
    if let Some(known) = known
        && known.seq > head.seq
    {
        let why =
            format!("the end was cut off: the log has {} records, and the database remembers {}", head.seq, known.seq);
        return Err(broken(path, number + 1, why));
    }
    Ok(Verified { records: head.seq, last_hash: head.hash })
}

/// A line that is no record. That is in order only if the next one says how it came about.
struct Torn {
    line: u64,
    why: String,
    bytes: Vec<u8>,
}

struct Walker<'a> {
    known: Option<&'a Head>,
    head: Head,
    torn: Option<Torn>,
}

impl Walker<'_> {
    /// Walks through one file and gives the number of its lines; or the line that is wrong, and why.
    fn file(&mut self, file: File) -> Result<u64, (u64, String)> {
        let mut lines = BufReader::with_capacity(64 << 10, file);
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            let more = next_line(&mut lines, &mut line);
            if !more.map_err(|error| (number + 1, format!("the log cannot be read: {error}")))? {
                return Ok(number);
            }
            number += 1;
            self.line(number, &line).map_err(|why| match self.torn.take() {
                Some(torn) => (torn.line, torn.why),
                None => (number, why),
            })?;
        }
    }

    fn line(&mut self, number: u64, line: &[u8]) -> Result<(), String> {
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err("the last line is cut off; the next start of the daemon mends and records that".to_owned());
        };
        let link = match chain::parse(text) {
            Ok(link) => link,
            Err(why) if self.torn.is_none() => {
                self.torn = Some(Torn { line: number, why: why.to_owned(), bytes: text.to_vec() });
                return Ok(());
            }
            Err(why) => return Err(why.to_owned()),
        };
        self.head = follow(&self.head, &link)?;
        if self.torn.as_ref().is_some_and(|torn| !chain::notes_torn(text, &torn.bytes)) {
            return Err("the record after a line that is none does not tell how it came about".to_owned());
        }
        self.torn = None;
        match self.known {
            Some(known) if known.seq == link.seq && known.hash != link.hash => {
                Err(format!("record {} is not the one that the database remembers", link.seq))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Checks that a record follows `head` and returns the head that it makes.
pub(super) fn follow(head: &Head, link: &chain::Link) -> Result<Head, String> {
    if link.seq != head.seq + 1 {
        let expected = head.seq + 1;
        return Err(format!(
            "record {} stands where record {expected} belongs: records are missing or moved",
            link.seq
        ));
    }
    if link.prev != head.hash {
        return Err(format!("record {} does not follow the record before it: records were replaced", link.seq));
    }
    Ok(link.head())
}
