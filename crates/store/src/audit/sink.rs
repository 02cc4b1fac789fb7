//! Where the lines go: a file, or memory in tests. Opening a file mends what a crash left of its last line.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::fs::IFlags;
use serde_json::json;

use super::{AuditEntry, AuditError, AuditKind, Head, chain, segments};

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

/// How the file of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A file of so many bytes is full, and the log goes on in another one.
    pub rotate_bytes: u64,
    /// Whether the kernel is asked to let the file only grow (`chattr +a`), which takes a capability and not every file
    /// system can do.
    pub append_only: bool,
    /// Whether the file's group may read it: whoever ships what another user's process writes.
    pub group_reads: bool,
}

impl Default for LogOptions {
    /// Files of 64 MiB, without the kernel's help.
    fn default() -> Self {
        Self { rotate_bytes: 64 << 20, append_only: false, group_reads: false }
    }
}

/// What had to be done about a write that had failed.
pub(super) struct Settled {
    /// The end of the log, if it is another one: whole records had reached the disk all the same.
    pub head: Option<Head>,
    /// What has to be recorded.
    pub note: Option<AuditEntry>,
}

impl Sink {
    /// Appends whole lines, the first of which has this number. On an error nothing of them counts, and
    /// [`Sink::settle`] comes next.
    pub fn write(&mut self, first: u64, lines: &[u8]) -> Result<(), AuditError> {
        match self {
            Self::File(file) => file.write(first, lines),
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

    /// Whether the kernel lets the file only grow.
    pub fn only_grows(&self) -> bool {
        match self {
            Self::File(file) => only_grows(&file.file),
            Self::Memory(_) => false,
        }
    }

    /// Makes good what a failed write left. Must be done before the next write.
    pub fn settle(&mut self) -> Result<Settled, AuditError> {
        match self {
            Self::File(file) if file.unclean => file.settle(),
            Self::File(_) | Self::Memory(_) => Ok(Settled { head: None, note: None }),
        }
    }
}

pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    options: LogOptions,
    /// The length up to which the file holds whole, durable lines.
    length: u64,
    /// The number of the file's first record; none when it has none.
    first: Option<u64>,
    /// A write failed and what it left was not made good yet.
    unclean: bool,
}

impl LogFile {
    fn write(&mut self, first: u64, lines: &[u8]) -> Result<(), AuditError> {
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A part of the lines may be there.
            self.unclean = true;
            return Err(AuditError::io("write to", &self.path, error));
        }
        self.length += lines.len() as u64;
        let first = *self.first.get_or_insert(first);
        if self.length >= self.options.rotate_bytes
            && let Err(error) = self.rotate(first)
        {
            // The record is there. The file goes on growing, and the next write tries again.
            tracing::warn!(%error, "the audit log could not go on in another file");
        }
        Ok(())
    }

    /// Puts the full file aside under the number of its first record and begins another one.
    fn rotate(&mut self, first: u64) -> io::Result<()> {
        let full = segments::full_name(&self.path, first);
        if full.exists() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a full file of this name"));
        }
        let guarded = only_grows(&self.file);
        if guarded {
            set_only_grows(&self.file, false)?;
        }
        let renamed = std::fs::rename(&self.path, &full);
        if guarded {
            set_only_grows(&self.file, true)?;
        }
        renamed?;
        crate::fault_point("rotate");
        let file = make(&self.path, self.options)?;
        (self.file, self.length, self.first) = (file, 0, None);
        Ok(())
    }

    fn settle(&mut self) -> Result<Settled, AuditError> {
        let failed = |error| AuditError::io("mend", &self.path, error);
        if !only_grows(&self.file) {
            self.file.set_len(self.length).and_then(|()| self.file.sync_data()).map_err(failed)?;
            self.unclean = false;
            return Ok(Settled { head: None, note: None });
        }
        let size = self.file.metadata().map_err(failed)?.len();
        let note = close_torn(&mut self.file, self.length, size).map_err(failed)?;
        let length = self.file.metadata().map_err(failed)?.len();
        let (head, _) = last_sound(&mut self.file, length).map_err(failed)?;
        (self.length, self.unclean) = (length, false);
        Ok(Settled { head, note })
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
pub(super) fn open(path: &Path, known: Option<&Head>, options: LogOptions) -> Result<Opened, AuditError> {
    let failed = |action| move |error| AuditError::io(action, path, error);
    let mut file = make(path, options).map_err(failed("open"))?;
    let mut notes = Vec::new();
    notes.extend(mend(&mut file, path).map_err(failed("mend"))?);
    let length = file.metadata().map_err(failed("read"))?.len();
    let (mut found, torn) = last_sound(&mut file, length).map_err(failed("read"))?;
    if found.is_none() {
        // The growing file is new, or holds nothing of use; the full one before it tells the end.
        found = last_of_full(path).map_err(failed("read"))?;
    }
    if let (Some(torn), true) = (torn, notes.is_empty()) {
        // A crash came between closing a torn line and the note of it.
        notes.push(chain::torn_note(&torn));
    }
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
    let first = segments::first_record(path).map_err(failed("read"))?;
    Ok(Opened { file: LogFile { file, path: path.to_owned(), options, length, first, unclean: false }, head, notes })
}

/// Opens the growing file, and makes it durable when it is new.
fn make(path: &Path, options: LogOptions) -> io::Result<File> {
    let is_new = !path.exists();
    let mode = if options.group_reads { 0o640 } else { 0o600 };
    let file = OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)?;
    if is_new {
        let parent = path.parent().unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    if options.append_only
        && let Err(error) = set_only_grows(&file, true)
    {
        tracing::warn!(%error, "the file system or the rights do not let the audit log be append-only (chattr +a)");
    }
    Ok(file)
}

fn set_only_grows(file: &File, on: bool) -> io::Result<()> {
    let mut flags = rustix::fs::ioctl_getflags(file)?;
    flags.set(IFlags::APPEND, on);
    Ok(rustix::fs::ioctl_setflags(file, flags)?)
}

/// Whether the kernel lets the file only grow.
pub(super) fn only_grows(file: &File) -> bool {
    rustix::fs::ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::APPEND))
}

/// Mends a last line without an end. It is moved aside; in a file that may only grow it is closed and stays.
fn mend(file: &mut File, path: &Path) -> io::Result<Option<AuditEntry>> {
    let size = file.metadata()?.len();
    let length = end_of_lines(file, size)?;
    if length == size {
        return Ok(None);
    }
    if only_grows(file) {
        return close_torn(file, length, size);
    }
    let aside = move_aside(file, path, length)?;
    let moved_to = aside.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(Some(note(json!({"event": chain::TORN, "bytes": size - length, "moved_to": moved_to}))))
}

/// Ends the last line of a file that cannot be cut. A line that was whole but for its end is a record now.
fn close_torn(file: &mut File, length: u64, size: u64) -> io::Result<Option<AuditEntry>> {
    let begin = end_of_lines(file, size)?.max(length);
    if begin == size {
        return Ok(None);
    }
    let mut torn = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    Read::by_ref(file).take(size - begin).read_to_end(&mut torn)?;
    file.write_all(b"\n").and_then(|()| file.sync_data())?;
    Ok(chain::parse(&torn).is_err().then(|| chain::torn_note(&torn)))
}

/// The last record of the last full file.
fn last_of_full(path: &Path) -> io::Result<Option<Head>> {
    let Some((_, name)) = segments::full(path)?.pop() else { return Ok(None) };
    let mut file = File::open(name)?;
    let length = file.metadata()?.len();
    Ok(last_sound(&mut file, length)?.0)
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

/// The last sound record, and the line after it if that is none.
fn last_sound(file: &mut File, length: u64) -> io::Result<(Option<Head>, Option<Vec<u8>>)> {
    let mut torn = None;
    let mut end = length;
    for _ in 0..2 {
        let Some(last) = end.checked_sub(1) else { break };
        let start = end_of_lines(file, last)?;
        if last - start > chain::MAX_LINE as u64 {
            break;
        }
        let mut line = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(last - start).read_to_end(&mut line)?;
        if let Ok(link) = chain::parse(&line) {
            return Ok((Some(link.head()), torn));
        }
        torn.get_or_insert(line);
        end = start;
    }
    Ok((None, torn))
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
