//! A directory as a target: files that only grow and are never rewritten, so that rsync can take them at any moment.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use store::audit::{Head, Line};

/// The most bytes that a line has, with room to spare: the last one is looked for in so much of a file's end.
const TAIL: u64 = 1 << 20;
/// How many files may begin with the same record; each is left by a fault.
const SAME_FIRST: u32 = 1_000;

/// Files in a directory.
pub(crate) struct Directory {
    files: Arc<Mutex<Files>>,
}

struct Files {
    path: PathBuf,
    full_at: u64,
    open: Option<Open>,
}

/// The file that grows.
struct Open {
    file: File,
    size: u64,
    /// The last record in the directory.
    last: Option<Head>,
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    hash: String,
}

impl Directory {
    /// A directory whose files are full at so many bytes.
    pub fn new(path: &Path, full_at: u64) -> Self {
        Self { files: Arc::new(Mutex::new(Files { path: path.to_owned(), full_at, open: None })) }
    }

    /// Appends what is not there yet, and returns when it is on the disk.
    pub async fn send(&self, lines: &Arc<[Line]>) -> Result<(), String> {
        let (files, lines) = (self.files.clone(), lines.clone());
        let append = move || files.lock().unwrap_or_else(PoisonError::into_inner).append(&lines);
        let done = tokio::task::spawn_blocking(append).await.map_err(|_| "writing broke off".to_owned())?;
        done.map_err(|error| error.to_string())
    }
}

impl Files {
    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let done = self.try_append(lines);
        if done.is_err() {
            // What the file holds now is not known. It is looked at again, and left as it is.
            self.open = None;
        }
        done
    }

    fn try_append(&mut self, lines: &[Line]) -> io::Result<()> {
        let known = match &self.open {
            Some(open) => open.last.clone(),
            None => self.find()?,
        };
        // After a crash the directory may be ahead of what the journal remembers.
        let begin = known.and_then(|known| lines.iter().position(|line| line.head == known)).map_or(0, |at| at + 1);
        let lines = &lines[begin..];
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(()) };
        if self.open.as_ref().is_none_or(|open| open.size >= self.full_at) {
            self.open = Some(Open { file: self.make(first.head.seq)?, size: 0, last: None });
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(&line.bytes);
            text.push(b'\n');
        }
        open.file.write_all(&text)?;
        open.file.sync_data()?;
        open.size += text.len() as u64;
        open.last = Some(last.head.clone());
        Ok(())
    }

    /// Finds the last record in the directory, and opens its file if that can go on growing.
    fn find(&mut self) -> io::Result<Option<Head>> {
        DirBuilder::new().recursive(true).mode(0o750).create(&self.path)?;
        let mut names: Vec<PathBuf> =
            std::fs::read_dir(&self.path)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "ndjson"));
        names.sort();
        let Some(name) = names.pop() else { return Ok(None) };
        let mut file = OpenOptions::new().read(true).append(true).open(name)?;
        let size = file.metadata()?.len();
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
        Read::by_ref(&mut file).take(TAIL).read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = tail[..whole].split(|byte| *byte == b'\n').rev().find_map(|line| {
            let record: Record = serde_json::from_slice(line).ok()?;
            Some(Head { seq: record.seq, hash: record.hash })
        });
        // A line without an end stays for good: the file is left, and another one begun.
        if whole == tail.len() {
            self.open = Some(Open { file, size, last: last.clone() });
        }
        Ok(last)
    }

    fn make(&self, first: u64) -> io::Result<File> {
        for number in 0..SAME_FIRST {
            let name = self.path.join(format!("audit-{first:012}-{number:03}.ndjson"));
            match OpenOptions::new().append(true).create_new(true).mode(0o640).open(&name) {
                Ok(file) => {
                    File::open(&self.path)?.sync_all()?;
                    return Ok(file);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let file = OpenOptions::new().append(true).open(&name)?;
                    if file.metadata()?.len() == 0 {
                        return Ok(file);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files begin with the same record"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use types::Timestamp;

    use super::*;

    fn line(seq: u64) -> Line {
        let hash = format!("{seq:064}");
        let bytes = format!("{{\"seq\":{seq},\"hash\":\"{hash}\"}}").into_bytes();
        Line { head: Head { seq, hash }, at: Timestamp(0), bytes }
    }

    fn files(path: &Path) -> Files {
        Files { path: path.to_owned(), full_at: 200, open: None }
    }

    fn seqs(path: &Path) -> Vec<u64> {
        let mut names: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let text: String = names.iter().map(|name| std::fs::read_to_string(name).unwrap() + "\n").collect();
        text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok()).map(|record| record.seq).collect()
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ship");
        files(&path).append(&[line(1), line(2)]).unwrap();
        let mut again = files(&path);
        again.append(&[line(1), line(2), line(3)]).unwrap();
        again.append(&[line(4)]).unwrap();
        again.append(&[line(5)]).unwrap();
        assert_eq!(seqs(&path), [1, 2, 3, 4, 5]);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2, "a full file is left alone");
    }

    #[test]
    fn a_line_without_an_end_is_never_touched() {
        let place = tempfile::tempdir().unwrap();
        files(place.path()).append(&[line(1)]).unwrap();
        let name = place.path().join("audit-000000000001-000.ndjson");
        OpenOptions::new().append(true).open(&name).unwrap().write_all(b"{\"seq\":2,").unwrap();
        let torn = std::fs::read(&name).unwrap();
        files(place.path()).append(&[line(2), line(3)]).unwrap();
        assert_eq!(std::fs::read(&name).unwrap(), torn);
        files(place.path()).append(&[line(3), line(4)]).unwrap();
        assert_eq!(seqs(place.path()), [1, 2, 3, 4]);
    }
}
