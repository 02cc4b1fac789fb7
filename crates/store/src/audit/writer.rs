//! Appending: records are chained, written at once and made durable together. The thread takes all records that wait.

use std::{
    path::Path,
    sync::{Arc, mpsc::Receiver},
};

use tokio::sync::{oneshot, watch};
use types::{Clock, Timestamp};

use super::{
    AuditEntry, AuditError, Head, LogOptions, chain,
    remote::Remote,
    sink::{self, Sink},
};
use crate::queue::Queued;

/// The most records of one write.
const MAX_GROUP: usize = 128;

/// A record and who waits for it.
pub(super) struct Job {
    pub entry: AuditEntry,
    pub reply: oneshot::Sender<Result<u64, AuditError>>,
}

/// A log that is appended to from one place.
pub(super) struct Appender {
    sink: Sink,
    clock: Arc<dyn Clock>,
    head: Head,
    /// Records of our own that come first.
    notes: Vec<AuditEntry>,
    last_at: Timestamp,
}

impl Appender {
    /// Opens a log's files, mends a torn last line, and records what was not whole.
    pub fn open(
        path: &Path,
        known: Option<&Head>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let opened = sink::open(path, known, options)?;
        for note in &opened.notes {
            tracing::warn!(detail = %note.detail, "the audit log was not whole");
        }
        Ok(Self::new(Sink::File(opened.file), opened.head, opened.notes, clock))
    }

    pub fn new(sink: Sink, head: Head, notes: Vec<AuditEntry>, clock: Arc<dyn Clock>) -> Self {
        let mut appender = Self { sink, clock, head, notes, last_at: Timestamp(i64::MIN) };
        if !appender.notes.is_empty()
            && let Err(error) = appender.append(&[])
        {
            tracing::error!(%error, "what happened to the audit log could not be recorded yet");
        }
        appender
    }

    /// The last durable record.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether the kernel lets the file only grow.
    pub fn only_grows(&self) -> bool {
        self.sink.only_grows()
    }

    /// Writes the notes and these entries. Returns the number of the first entry. On an error nothing counts as recorded.
    pub fn append(&mut self, entries: &[AuditEntry]) -> Result<u64, AuditError> {
        let settled = self.sink.settle()?;
        self.notes.extend(settled.note);
        if let Some(head) = settled.head {
            self.head = head;
        }
        let at = self.clock.now().max(self.last_at);
        let mut head = self.head.clone();
        let begin = head.seq + 1;
        let mut lines = Vec::new();
        for note in &self.notes {
            head = chain::push_line(&mut lines, note, at, &head);
        }
        let first = head.seq + 1;
        for entry in entries {
            head = chain::push_line(&mut lines, entry, at, &head);
        }
        if lines.is_empty() {
            return Ok(first);
        }
        self.sink.write(begin, &lines)?;
        self.notes.clear();
        self.last_at = at;
        self.head = head;
        Ok(first)
    }
}

/// Who appends: this process, or another one.
pub(super) enum Backend {
    Own(Box<Appender>),
    Other(Box<Remote>),
}

impl Backend {
    /// The last durable record.
    pub fn head(&self) -> &Head {
        match self {
            Self::Own(appender) => appender.head(),
            Self::Other(remote) => remote.head(),
        }
    }

    /// Appends entries, all of them or none, and gives the number of each.
    fn append(&mut self, entries: &[AuditEntry]) -> Result<Vec<u64>, AuditError> {
        match self {
            Self::Own(appender) => {
                let first = appender.append(entries)?;
                Ok((first..first + entries.len() as u64).collect())
            }
            Self::Other(remote) => remote.append(entries),
        }
    }
}

pub(super) struct Writer {
    pub backend: Backend,
    /// The last durable record, for everybody else.
    pub head: Arc<watch::Sender<Head>>,
}

impl Writer {
    /// Runs until nobody can append any more and all that was asked for is done.
    pub fn run(mut self, jobs: Receiver<Queued<Job>>) {
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first.job];
            while group.len() < MAX_GROUP
                && let Ok(next) = jobs.try_recv()
            {
                group.push(next.job);
            }
            self.group(group);
        }
    }

    fn group(&mut self, group: Vec<Job>) {
        let (entries, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.entry, job.reply)).unzip();
        let appended = self.backend.append(&entries);
        self.head.send_replace(self.backend.head().clone());
        match appended {
            Ok(numbers) => {
                crate::fault_point("audit");
                for (seq, reply) in numbers.into_iter().zip(replies) {
                    // Whoever asked may have gone; the record is there all the same.
                    let _ = reply.send(Ok(seq));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}
