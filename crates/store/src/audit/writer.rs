//! The thread that appends: it takes all records that wait, writes them at once, and makes them durable together.

use std::sync::{Arc, Mutex, PoisonError, mpsc::Receiver};

use tokio::sync::oneshot;
use types::{Clock, Timestamp};

use super::{AuditEntry, AuditError, Head, chain, sink::Sink};
use crate::queue::Queued;

/// The most records of one write.
const MAX_GROUP: usize = 128;

/// A record and who waits for it.
pub(super) struct Job {
    pub entry: AuditEntry,
    pub reply: oneshot::Sender<Result<u64, AuditError>>,
}

pub(super) struct Writer {
    pub sink: Sink,
    pub clock: Arc<dyn Clock>,
    /// The last durable record; the database reads it as well.
    pub head: Arc<Mutex<Head>>,
    /// Records of our own that come first.
    pub notes: Vec<AuditEntry>,
    pub last_at: Timestamp,
}

impl Writer {
    /// Runs until nobody can append any more and all that was asked for is done.
    pub fn run(mut self, jobs: Receiver<Queued<Job>>) {
        if !self.notes.is_empty()
            && let Err(error) = self.append(&[])
        {
            tracing::error!(%error, "what happened to the audit log could not be recorded yet");
        }
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
        match self.append(&entries) {
            Ok(first) => {
                crate::fault_point("audit");
                for (seq, reply) in (first..).zip(replies) {
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

    /// Writes the notes and these entries. Returns the number of the first entry.
    fn append(&mut self, entries: &[AuditEntry]) -> Result<u64, AuditError> {
        let at = self.clock.now().max(self.last_at);
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut lines = Vec::new();
        for note in &self.notes {
            head = chain::push_line(&mut lines, note, at, &head);
        }
        let first = head.seq + 1;
        for entry in entries {
            head = chain::push_line(&mut lines, entry, at, &head);
        }
        self.sink.write(&lines)?;
        self.notes.clear();
        self.last_at = at;
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(first)
    }
}
