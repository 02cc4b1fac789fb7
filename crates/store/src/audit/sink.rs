//! Where the lines go: a file, or memory in tests. Opening a file mends what a crash left of its last line.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;

use super::{AuditEntry, AuditError, AuditKind, Head, chain};

/// The most bytes that a log in memory may have.
const MAX_MEMORY: usize = 64 << 20;
/// How much is read at a time when the end of the file is looked for.
const CHUNK: u64 = 64 << 10;

/// The lines of a log in memory.
pub(super) type Memory = Arc<Mutex<Vec<u8>>>;

pub(super) enum Sink {
    File(LogFile),
    Memory(Memory),
}

impl Sink {
    /// Appends whole lines. On an error nothing of them stays.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        match self {
            Self::File(file) => file.write(lines),
            Self::Memory(memory) => {
                let mut held = memory.lock().unwrap_or_else(PoisonError::into_inner);
                if held.len() + lines.len() > MAX_MEMORY {
                    return Err(AuditError::DiskFull);
                }
                held.extend_from_slice(lines);
                Ok(())
            }
        }
    }
}

pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    /// The length up to which the file holds whole, durable lines.
    length: u64,
    /// A write failed and what it left could not be removed yet.
    unclean: bool,
}

impl LogFile {
    fn write(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        if self.unclean {
            self.cut()?;
        }
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.unclean = true;
            // A part of a line may be there. If it cannot be removed now, the next write tries first of all.
            let _ = self.cut();
            return Err(AuditError::io("write to", &self.path, error));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    fn cut(&mut self) -> Result<(), AuditError> {
        let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_data());
        cut.map_err(|error| AuditError::io("cut back", &self.path, error))?;
        self.unclean = false;
        Ok(())
    }
}

/// A log file as it was found.
pub(super) struct Opened {
    pub file: LogFile,
    /// The record that the next one follows.
    pub head: Head,
    /// What has to be recorded about the opening itself.
    pub notes: Vec<AuditEntry>,
}

/// Opens the log and mends a torn last line. `known` is the end that the database remembers: if the log ends before it,
/// records are missing, and the log goes on after the remembered end, so that the gap stays visible for good.
pub(super) fn open(path: &Path, known: Option<&Head>) -> Result<Opened, AuditError> {
    let failed = |action| move |error| AuditError::io(action, path, error);
    let is_new = !path.exists();
    let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    let mut file = open.map_err(failed("open"))?;
    if is_new {
        let parent = path.parent().unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("make durable"))?;
    }
    let size = file.metadata().map_err(failed("read"))?.len();
    let length = end_of_lines(&mut file, size).map_err(failed("read"))?;
    let mut notes = Vec::new();
    if length < size {
        let aside = move_aside(&mut file, path, length).map_err(failed("mend"))?;
        let moved_to = aside.file_name().map(|name| name.to_string_lossy().into_owned());
        notes.push(note(json!({"event": "torn_line", "bytes": size - length, "moved_to": moved_to})));
    }
    let found = last_link(&mut file, length).map_err(failed("read"))?;
    let head = match (found, known) {
        (Some(found), Some(known)) if found.seq >= known.seq => found,
        (Some(found), None) => found,
        (found, Some(known)) => {
            let seq = found.map_or(0, |found| found.seq);
            if known.seq > 0 {
                notes.push(note(json!({"event": "records_missing", "expected": known.seq, "found": seq})));
            }
            known.clone()
        }
        (None, None) => Head::start(),
    };
    Ok(Opened { file: LogFile { file, path: path.to_owned(), length, unclean: false }, head, notes })
}

fn note(detail: serde_json::Value) -> AuditEntry {
    AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail }
}

/// The position after the last line break at or before `end`.
fn end_of_lines(file: &mut File, end: u64) -> io::Result<u64> {
    let mut high = end;
    let mut chunk = Vec::new();
    while high > 0 {
        let low = high.saturating_sub(CHUNK);
        chunk.clear();
        file.seek(SeekFrom::Start(low))?;
        Read::by_ref(file).take(high - low).read_to_end(&mut chunk)?;
        if let Some(position) = chunk.iter().rposition(|byte| *byte == b'\n') {
            return Ok(low + position as u64 + 1);
        }
        high = low;
    }
    Ok(0)
}

/// The last line, if it is a sound record.
fn last_link(file: &mut File, length: u64) -> io::Result<Option<Head>> {
    let Some(end) = length.checked_sub(1) else { return Ok(None) };
    let start = end_of_lines(file, end)?;
    if end - start > chain::MAX_LINE as u64 {
        return Ok(None);
    }
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    Read::by_ref(file).take(end - start).read_to_end(&mut line)?;
    Ok(chain::parse(&line).ok().map(|link| Head { seq: link.seq, hash: link.hash }))
}

/// Copies everything from `length` on into a file of its own and cuts it off.
fn move_aside(file: &mut File, path: &Path, length: u64) -> io::Result<PathBuf> {
    let (mut aside, name) = make_aside(path, length)?;
    file.seek(SeekFrom::Start(length))?;
    io::copy(file, &mut aside)?;
    aside.sync_all()?;
    file.set_len(length)?;
    file.sync_data()?;
    Ok(name)
}

/// Makes a file beside the log that does not exist yet.
fn make_aside(path: &Path, length: u64) -> io::Result<(File, PathBuf)> {
    for number in 0..100 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".torn-{length}-{number}"));
        let name = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name) {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "a hundred torn lines were moved aside at the same place"))
}
