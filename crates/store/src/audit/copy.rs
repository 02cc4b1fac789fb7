//! Comparing the log with a copy that was shipped: whether the copy is whole, and where the two part. Nothing is mended.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use super::{Broken, Head, chain, read::next_line, segments};

/// The most files of a copy, against a directory that is none.
const MAX_FILES: usize = 100_000;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    /// The first record of the copy; copies may begin late.
    pub first: u64,
    /// The last record of the copy.
    pub last: u64,
    /// The last record of the local log.
    pub local: u64,
}

/// A copy that is not a copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Parted {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The copy itself was changed.
    #[error("the copy was changed: {0}")]
    Copy(Broken),
    /// Both have the record, and it is not the same one.
    #[error("record {seq} is not the same in the log and in the copy: one of them was rewritten from there on{tail}")]
    Differs {
        /// The first such record.
        seq: u64,
        /// Which of the two is longer.
        tail: String,
    },
    /// The copy has records that the log lacks.
    #[error("the local log ends with record {local}, and the copy with {copy}: the end of the local log was cut off")]
    LocalCut {
        /// The end of the local log.
        local: u64,
        /// The end of the copy.
        copy: u64,
    },
    /// The copy lacks records that were acknowledged.
    #[error("the copy ends with record {copy}, and {shipped} were shipped: the end of the copy was cut off")]
    CopyCut {
        /// The end of the copy.
        copy: u64,
        /// How many had been shipped.
        shipped: u64,
    },
}

/// Compares the log at `path` with a copy: a file, or a directory of files in the order of their names. Records that
/// stand in the copy more than once, as shipping again after a fault leaves them, are in order; so is a line that was cut
/// off, if the record follows. `shipped` is the last record that the target had confirmed.
pub fn compare(path: &Path, copy: &Path, shipped: u64) -> Result<Compared, Parted> {
    let hashes = copied(copy)?;
    let (first, last) = match (hashes.keys().next(), hashes.keys().next_back()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (0, 0),
    };
    let mut local = 0;
    let mut differs = None;
    let files = segments::open_all(path).map_err(|error| unreadable(path, &error))?;
    for (name, file) in files {
        each_line(&name, file, |_, line| {
            let Ok(link) = chain::parse(line) else { return Ok(()) };
            local = link.seq;
            if hashes.get(&link.seq).is_some_and(|hash| *hash != link.hash) {
                differs.get_or_insert(link.seq);
            }
            Ok(())
        })?;
    }
    if let Some(seq) = differs {
        let tail = match local.cmp(&last) {
            std::cmp::Ordering::Greater => format!("; the log is longer, with {local} records against {last}"),
            std::cmp::Ordering::Less => format!("; the copy is longer, with {last} records against {local}"),
            std::cmp::Ordering::Equal => format!("; both have {local} records"),
        };
        return Err(Parted::Differs { seq, tail });
    }
    if last > local {
        return Err(Parted::LocalCut { local, copy: last });
    }
    if last < shipped {
        return Err(Parted::CopyCut { copy: last, shipped });
    }
    Ok(Compared { first, last, local })
}

/// The hashes of a copy's records, after its chain was checked.
fn copied(copy: &Path) -> Result<BTreeMap<u64, String>, Parted> {
    let mut hashes: BTreeMap<u64, String> = BTreeMap::new();
    let mut head: Option<Head> = None;
    for path in files(copy)? {
        let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
        let mut bad: Option<(u64, &'static str)> = None;
        each_line(&path, file, |line, text| {
            let broken = |line, why: String| Parted::Copy(Broken { line, why, file: Some(path.clone()) });
            let link = match chain::parse(text) {
                Ok(link) => link,
                Err(why) => {
                    bad.get_or_insert((line, why));
                    return Ok(());
                }
            };
            let wrong = bad.take();
            if hashes.get(&link.seq) == Some(&link.hash) {
                return Ok(());
            }
            if let (None, Some((line, why))) = (&head, wrong) {
                return Err(broken(line, why.to_owned()));
            }
            if let Some(head) = &head {
                // A line that is no record hides nothing only if the next record follows the one before it.
                super::verify::follow(head, &link).map_err(|why| match wrong {
                    Some((line, why)) => broken(line, why.to_owned()),
                    None => broken(line, why),
                })?;
            }
            head = Some(link.head());
            hashes.insert(link.seq, link.hash);
            Ok(())
        })?;
    }
    Ok(hashes)
}

fn files(copy: &Path) -> Result<Vec<PathBuf>, Parted> {
    if !copy.is_dir() {
        return Ok(vec![copy.to_owned()]);
    }
    let entries = std::fs::read_dir(copy).map_err(|error| unreadable(copy, &error))?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()).collect();
    files.truncate(MAX_FILES);
    files.sort();
    Ok(files)
}

fn each_line(path: &Path, file: File, mut visit: impl FnMut(u64, &[u8]) -> Result<(), Parted>) -> Result<(), Parted> {
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let mut line = Vec::new();
    let mut number = 0;
    while next_line(&mut lines, &mut line).map_err(|error| unreadable(path, &error))? {
        number += 1;
        visit(number, record_in(line.strip_suffix(b"\n").unwrap_or(&line)))?;
    }
    Ok(())
}

/// The record in a line that a syslog server wrote: it may stand after a header.
fn record_in(line: &[u8]) -> &[u8] {
    let begin = line.windows(7).position(|window| window == br#"{"seq":"#);
    begin.map_or(line, |begin| &line[begin..])
}

fn unreadable(path: &Path, error: &std::io::Error) -> Parted {
    Parted::Unreadable { path: path.to_owned(), error: error.to_string() }
}
