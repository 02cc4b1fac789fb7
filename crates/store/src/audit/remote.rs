//! The log behind a writer process. What is not confirmed is asked for again: the numbers tell what reached the log, so
//! nothing is lost and nothing is there twice.

use std::{
    fmt,
    io::{self, BufReader},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    AuditEntry, AuditError, AuditKind, Head, chain,
    wire::{self, Answer, Ask, MAX_ENTRIES},
};

/// How long an answer may take. A disk that flushes may be slow.
const ANSWER: Duration = Duration::from_secs(20);
/// How often is connected for one group of records. A writer that is restarted is back within that.
const ATTEMPTS: u32 = 7;
/// How long to wait between, so that a group waits about two seconds at most.
const PAUSE: Duration = Duration::from_millis(250);

/// Makes a connection to the writer.
pub type Connect = Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// A log that another process writes.
pub(super) struct Remote {
    connect: Connect,
    stream: Option<BufReader<UnixStream>>,
    head: Head,
    /// The end that was known before the first connection, until that has been compared.
    known: Option<Head>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Remote {
    /// A log whose end the database remembers. The writer need not run yet; until it does, nothing is recorded.
    pub fn new(connect: Connect, known: Option<&Head>) -> Self {
        let head = known.cloned().unwrap_or_else(Head::start);
        let mut remote = Self { connect, stream: None, known: Some(head.clone()), head };
        if let Err(error) = remote.greet(&[]) {
            tracing::error!(%error, "the writer of the audit log does not answer; until it does, nothing runs");
        }
        remote
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Appends entries and returns the number of each.
    pub fn append(&mut self, entries: &[AuditEntry]) -> Result<Vec<u64>, AuditError> {
        let mut numbers = Vec::new();
        let mut failure = AuditError::WriterGone { why: "it does not answer".to_owned() };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            if self.stream.is_none() {
                match self.greet(&entries[numbers.len()..]) {
                    Ok(found) => numbers.extend(found),
                    Err(error) => {
                        failure = error;
                        continue;
                    }
                }
            }
            match self.send(entries, &mut numbers) {
                Ok(()) => return Ok(numbers),
                Err(error @ (AuditError::DiskFull | AuditError::TooLarge { .. })) => return Err(error),
                Err(error) => {
                    self.stream = None;
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// Sends what has no number yet, in pieces of bounded size.
    fn send(&mut self, entries: &[AuditEntry], numbers: &mut Vec<u64>) -> Result<(), AuditError> {
        while numbers.len() < entries.len() {
            let mut size = 0;
            let fits = |entry: &&AuditEntry| {
                size += entry.detail.to_string().len() + 1_024;
                size <= MAX_ENTRIES
            };
            let piece: Vec<AuditEntry> = entries[numbers.len()..].iter().take_while(fits).cloned().collect();
            let count = piece.len() as u64;
            match self.ask(&Ask::Append { after: self.head.clone(), entries: piece })? {
                Answer::Appended { first, head } => {
                    numbers.extend(first..first + count);
                    self.head = head;
                }
                Answer::DiskFull => return Err(AuditError::DiskFull),
                Answer::Stale => return Err(gone("the log does not end where it did")),
                Answer::Failed { why } => return Err(gone(&why)),
                Answer::State { .. } => return Err(gone("it gave an answer to another question")),
            }
        }
        Ok(())
    }

    /// Connects, learns where the log ends, and finds those of `pending` that had reached it.
    fn greet(&mut self, pending: &[AuditEntry]) -> Result<Vec<u64>, AuditError> {
        let stream = (self.connect)().map_err(|error| gone(&error.to_string()))?;
        let timeouts = stream.set_read_timeout(Some(ANSWER)).and_then(|()| stream.set_write_timeout(Some(ANSWER)));
        timeouts.map_err(|error| gone(&error.to_string()))?;
        self.stream = Some(BufReader::new(stream));
        let answer = self.ask(&Ask::Hello { after: self.head.seq });
        let Ok(Answer::State { head, at, lines, .. }) = answer else {
            self.stream = None;
            return Err(answer.err().unwrap_or_else(|| gone("it gave an answer to another question")));
        };
        if at.as_ref() != Some(&self.head.hash) {
            return self.parted(&head);
        }
        self.known = None;
        let found = arrived(&lines, pending);
        self.head = head;
        Ok(found)
    }

    /// The log is not the one that was known. At the start that is recorded, once; later nothing is recorded any more.
    fn parted(&mut self, head: &Head) -> Result<Vec<u64>, AuditError> {
        let Some(known) = self.known.take() else {
            self.stream = None;
            return Err(gone("the log is not the one that it was; `factotum log verify` tells more"));
        };
        tracing::error!(known = known.seq, found = head.seq, "the writer's audit log is not the one that was known");
        self.head = head.clone();
        let detail = json!({ "event": "records_missing", "expected": known.seq, "found": head.seq });
        let note = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail };
        self.send(&[note], &mut Vec::new())?;
        Ok(Vec::new())
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, AuditError> {
        let Some(stream) = &mut self.stream else { return Err(gone("it is not connected")) };
        let answer = wire::write(stream.get_mut(), ask).and_then(|()| wire::read(stream));
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(gone("it closed the connection")),
            Err(error) => Err(gone(&error.to_string())),
        }
    }
}

/// The numbers of the first of these entries that stand in the log. The writer's own notes may stand between them.
fn arrived(lines: &[String], pending: &[AuditEntry]) -> Vec<u64> {
    let mut numbers = Vec::new();
    for line in lines {
        let Some(entry) = pending.get(numbers.len()) else { break };
        let (Ok(link), Ok(record)) = (chain::parse(line.as_bytes()), serde_json::from_str::<Value>(line)) else {
            continue;
        };
        if is_of(&record, entry) {
            numbers.push(link.seq);
        }
    }
    numbers
}

fn is_of(record: &Value, entry: &AuditEntry) -> bool {
    let Ok(Value::Object(wanted)) = serde_json::to_value(entry) else { return false };
    wanted.iter().all(|(key, value)| record.get(key) == Some(value))
}

fn gone(why: &str) -> AuditError {
    AuditError::WriterGone { why: why.to_owned() }
}
