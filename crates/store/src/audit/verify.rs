//! Proof that the log is whole: nothing was edited, removed, inserted, moved or, with the end that the database
//! remembers, cut off.

use std::{fs::File, io::BufReader, path::Path};

use super::{Head, chain, read::next_line};

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
#[error("line {line}: {why}")]
pub struct Broken {
    /// The first line that is wrong, from 1; 0 when the file as a whole cannot be read.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
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
    let unreadable = |line, error: std::io::Error| Broken { line, why: format!("the log cannot be read: {error}") };
    let file = File::open(path).map_err(|error| unreadable(0, error))?;
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let mut head = Head::start();
    let mut line = Vec::new();
    let mut number = 0;
    while next_line(&mut lines, &mut line).map_err(|error| unreadable(number + 1, error))? {
        number += 1;
        let next = follow(&head, &line).map_err(|why| Broken { line: number, why })?;
        if let Some(known) = known
            && known.seq == next.seq
            && known.hash != next.hash
        {
            let why = format!("record {} is not the one that the database remembers", next.seq);
            return Err(Broken { line: number, why });
        }
        head = next;
    }
    if let Some(known) = known
        && known.seq > head.seq
    {
        let why =
            format!("the end was cut off: the log has {} records, and the database remembers {}", head.seq, known.seq);
        return Err(Broken { line: number + 1, why });
    }
    Ok(Verified { records: head.seq, last_hash: head.hash })
}

/// Checks that a line follows `head` and returns the head that it makes.
fn follow(head: &Head, line: &[u8]) -> Result<Head, String> {
    let Some(text) = line.strip_suffix(b"\n") else {
        return Err("the last line is cut off; the next start of the daemon moves it aside and records that".to_owned());
    };
    let link = chain::parse(text)?;
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
    Ok(Head { seq: link.seq, hash: link.hash })
}
