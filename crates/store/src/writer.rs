//! The one thread that writes. It takes all transactions that wait, runs each in a savepoint of one transaction of the
//! database, commits once, and then answers them all. It must not know what they do.

use std::{
    cell::Cell,
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use rusqlite::{Connection, hooks::Wal};
use tokio::sync::{broadcast, oneshot, watch};
use types::{Clock, Envelope, Timestamp};

use crate::{
    audit::{AuditLog, Head},
    error::StoreError,
    faults,
    queue::Queued,
    tx::{Pending, Tx},
};

/// The most transactions that share a commit.
const MAX_GROUP: usize = 256;
/// From so many pages on the journal is copied into the database when nothing else is to do.
const CHECKPOINT_PAGES: i32 = 1_000;
/// At so many pages it is copied even if there is something to do.
const FORCED_CHECKPOINT_PAGES: i32 = 4_000;
/// For how long nothing must be to do before the journal is copied.
const IDLE: Duration = Duration::from_millis(200);
/// The name under which the end of the audit log is remembered.
pub(crate) const AUDIT_HEAD: &str = "audit-head";

thread_local! {
    /// The pages in the journal after the last commit on this thread: the hook that is told is a plain function.
    static JOURNAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// A transaction that waits.
pub(crate) trait Job: Send {
    /// Runs it. A panic is an error.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Tells whoever waits: its own result, unless the commit failed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A transaction with the type of its result.
pub(crate) struct Typed<F, T> {
    job: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Typed<F, T> {
    pub fn new(job: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { job: Some(job), result: None, reply }, answer)
    }
}

impl<F, T> Job for Typed<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let job = self.job.take().ok_or(StoreError::Closed)?;
        // The transaction is rolled back after a panic and the closure is gone, so nothing half-done can be seen.
        let ran = catch_unwind(AssertUnwindSafe(|| job(tx)));
        self.result = Some(ran.unwrap_or_else(|panic| Err(StoreError::Panicked(words(&*panic))))?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        // Whoever asked may have gone; the transaction stands all the same.
        let _ = reply.send(committed.and_then(|()| result.ok_or(StoreError::Closed)));
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").chars().take(200).collect()
}

/// What happens after a commit.
pub(crate) struct Signals {
    pub events: broadcast::Sender<Envelope>,
    pub outbox: watch::Sender<u64>,
    pub answers: watch::Sender<u64>,
}

pub(crate) struct Writer {
    /// Shared only if the database lives in memory, where there are no other connections to read with.
    pub connection: Arc<Mutex<Connection>>,
    pub path: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub audit: AuditLog,
    pub signals: Signals,
    /// The latest time in the journal.
    pub last_at: Timestamp,
    /// The end of the audit log as it stands in the database.
    pub audit_head: Head,
}

/// A transaction that ran and waits for the commit.
struct Ran {
    job: Box<dyn Job>,
    pending: Pending,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub fn run(mut self, jobs: Receiver<Queued<Box<dyn Job>>>) {
        let held = self.connection.clone();
        held.lock().unwrap_or_else(PoisonError::into_inner).wal_hook(Some(count_pages));
        while let Some(first) = self.next(&jobs) {
            let connection = held.lock().unwrap_or_else(PoisonError::into_inner);
            self.group(&connection, first, &jobs);
            if JOURNAL_PAGES.get() >= FORCED_CHECKPOINT_PAGES {
                checkpoint(&connection);
            }
        }
        // Whoever closes the store has closed the audit log before.
        let connection = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.remember_at_end(&connection) {
            tracing::warn!(%error, "the end of the audit log could not be remembered");
        }
        checkpoint(&connection);
    }

    /// The next transaction. Copies the journal when none comes for a while.
    fn next(&self, jobs: &Receiver<Queued<Box<dyn Job>>>) -> Option<Box<dyn Job>> {
        if JOURNAL_PAGES.get() >= CHECKPOINT_PAGES {
            match jobs.recv_timeout(IDLE) {
                Ok(next) => return Some(next.job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    checkpoint(&self.connection.lock().unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
        jobs.recv().ok().map(|next| next.job)
    }

    /// Runs `first` and all that wait, and commits them together.
    fn group(&mut self, connection: &Connection, first: Box<dyn Job>, jobs: &Receiver<Queued<Box<dyn Job>>>) {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            first.answer(Err(self.located(error)));
            return;
        }
        let mut done: Vec<Ran> = Vec::new();
        let mut count = 0;
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            count += 1;
            match self.one(connection, job.as_mut()) {
                Ok(pending) => done.push(Ran { job, pending }),
                Err(error) => {
                    job.answer(Err(error.clone()));
                    // Some errors, such as a full disk, make SQLite roll back everything at once.
                    if connection.is_autocommit() {
                        fail(done, &error);
                        return;
                    }
                }
            }
            if count < MAX_GROUP {
                next = jobs.try_recv().ok().map(|next| next.job);
            }
        }
        self.commit(connection, done);
    }

    /// Runs one transaction in its savepoint.
    fn one(&mut self, connection: &Connection, job: &mut dyn Job) -> Result<Pending, StoreError> {
        let run = |sql| connection.prepare_cached(sql)?.execute([]).map_err(StoreError::from);
        run("SAVEPOINT job").map_err(|error| error.at(&self.path))?;
        let clock = self.clock.now();
        let now = clock.max(self.last_at);
        let mut tx = Tx::new(connection, now, clock);
        let ran = job.run(&mut tx).map_err(|error| error.at(&self.path));
        let pending = tx.into_pending();
        match ran.and_then(|()| run("RELEASE job").map(|_| ()).map_err(|error| error.at(&self.path))) {
            Ok(()) => {
                self.last_at = now;
                Ok(pending)
            }
            Err(error) => {
                if !connection.is_autocommit()
                    && let Err(error) = run("ROLLBACK TO job").and_then(|_| run("RELEASE job"))
                {
                    // The savepoint cannot be taken back, so nothing of this group may stay.
                    tracing::error!(%error, "a transaction could not be taken back; its whole group is");
                    let _ = connection.execute_batch("ROLLBACK");
                }
                Err(error)
            }
        }
    }

    /// Commits, and only then tells anybody.
    fn commit(&mut self, connection: &Connection, done: Vec<Ran>) {
        if done.is_empty() {
            let _ = connection.execute_batch("ROLLBACK");
            return;
        }
        let head = self.audit.head();
        let committed = self.remember(connection, &head).and_then(|()| {
            faults::before_commit();
            connection.execute_batch("COMMIT").map_err(|error| self.located(error))
        });
        if let Err(error) = committed {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            tracing::error!(%error, "a commit failed; nothing of it was stored");
            fail(done, &error);
            return;
        }
        faults::after_commit();
        self.audit_head = head;
        for ran in done {
            self.tell(ran);
        }
    }

    fn tell(&self, Ran { job, pending }: Ran) {
        for event in pending.events {
            // Nobody may be listening.
            let _ = self.signals.events.send(event);
        }
        if pending.outbox {
            self.signals.outbox.send_modify(|count| *count += 1);
        }
        if pending.answers {
            self.signals.answers.send_modify(|count| *count += 1);
        }
        job.answer(Ok(()));
    }

    /// Writes down where the audit log ends, if that has changed. It goes along with a commit that happens anyway.
    fn remember(&self, connection: &Connection, head: &Head) -> Result<(), StoreError> {
        if *head == self.audit_head {
            return Ok(());
        }
        let text = crate::codec::encode("audit head", head)?;
        let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
        let written = connection.prepare_cached(sql).and_then(|mut statement| statement.execute((AUDIT_HEAD, text)));
        written.map_err(|error| self.located(error))?;
        Ok(())
    }

    fn remember_at_end(&self, connection: &Connection) -> Result<(), StoreError> {
        self.remember(connection, &self.audit.head())
    }

    fn located(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from(error).at(&self.path)
    }
}

fn fail(done: Vec<Ran>, error: &StoreError) {
    for ran in done {
        ran.job.answer(Err(error.clone()));
    }
}

fn count_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    JOURNAL_PAGES.set(pages);
    Ok(())
}

/// Copies the journal into the database, as far as readers let it. A failure costs disk space and nothing else; the
/// next one tries again.
fn checkpoint(connection: &Connection) {
    JOURNAL_PAGES.set(0);
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the journal could not be copied into the database");
    }
}
