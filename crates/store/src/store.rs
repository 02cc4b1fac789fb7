//! The handle to durable state: opening, closing, and the way in for transactions. It must not know what they do.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{JoinHandle, ThreadId},
};

use rusqlite::Connection;
use tokio::sync::{broadcast, watch};
use types::{Clock, Envelope, Event, SessionId, TurnId};

use crate::{
    audit::{AuditLog, Head, Keeping, LogOptions},
    codec,
    connection::{database_path, make_home, open_alone, open_memory, open_reader, open_writer},
    error::StoreError,
    queue::Queue,
    read,
    readers::Readers,
    tx::Tx,
    writer::{AUDIT_HEAD, Job, Signals, Typed, Writer},
};

/// The name of the audit log in the home directory.
const AUDIT: &str = "audit.log";
/// How many transactions may wait; more wait outside.
const MAX_QUEUE: usize = 1_024;
/// How many events a slow subscriber may be behind before it has to read them again from the journal.
const MAX_BEHIND: usize = 1_024;

/// Durable state. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    readers: Readers,
    audit: AuditLog,
    events: broadcast::Sender<Envelope>,
    outbox: watch::Receiver<u64>,
    answers: watch::Receiver<u64>,
    writer: Option<Handle>,
}

/// The writer's thread.
struct Handle {
    jobs: Queue<Box<dyn Job>>,
    id: ThreadId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store of a home directory, makes it if there is none, and brings its schema up to date. Only one
    /// process may have it open like this; the caller sees to that.
    pub fn open(home: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(home, Keeping::Own(LogOptions::default()), clock)
    }

    /// The same with an audit log that is kept in another way.
    pub fn open_with(home: &Path, log: Keeping, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        make_home(home)?;
        let path = database_path(home);
        let connection = open_writer(&path)?;
        let found = after_restart(&connection).map_err(|error| error.at(&path))?;
        let audit = match log {
            Keeping::Own(options) => AuditLog::open(&home.join(AUDIT), found.as_ref(), options, clock.clone())?,
            Keeping::Other { path, connect } => AuditLog::open_remote(&path, found.as_ref(), connect)?,
        };
        let readers = Readers::pool(path.clone(), open_reader);
        Self::start(Arc::new(Mutex::new(connection)), path, readers, audit, found, clock)
    }

    /// Opens the store of a home directory to look at it, whether a daemon runs or not. Writing is refused.
    pub fn open_read_only(home: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = database_path(home);
        let readers = Readers::pool(path, open_alone);
        // What is wrong with the file is to be told at once, not at the first question.
        readers.read(|_| Ok(()))?;
        let audit = AuditLog::open_read_only(&home.join(AUDIT));
        let (events, _) = broadcast::channel(1);
        let (_, outbox) = watch::channel(0);
        let (_, answers) = watch::channel(0);
        Ok(Self { shared: Arc::new(Shared { clock, readers, audit, events, outbox, answers, writer: None }) })
    }

    /// A store that is not kept, audit log included. A transaction must not read through the handle while it runs: here
    /// it would wait for itself.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let connection = Arc::new(Mutex::new(open_memory()?));
        let audit = AuditLog::in_memory(clock.clone())?;
        let readers = Readers::Shared(connection.clone());
        Self::start(connection, PathBuf::from(":memory:"), readers, audit, None, clock)
    }

    fn start(
        connection: Arc<Mutex<Connection>>,
        path: PathBuf,
        readers: Readers,
        audit: AuditLog,
        remembered: Option<Head>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let last_at = {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read::latest_time(&connection).map_err(|error| error.at(&path))?
        };
        let (events, _) = broadcast::channel(MAX_BEHIND);
        let (outbox_signal, outbox) = watch::channel(0);
        let (answer_signal, answers) = watch::channel(0);
        let (jobs, queued) = Queue::new(MAX_QUEUE);
        let signals = Signals { events: events.clone(), outbox: outbox_signal, answers: answer_signal };
        let audit_head = remembered.unwrap_or_else(Head::start);
        let writer = Writer {
            connection,
            path: path.clone(),
            clock: clock.clone(),
            audit: audit.clone(),
            signals,
            last_at,
            audit_head,
        };
        let spawned = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(queued));
        let thread = spawned.map_err(|error| StoreError::io("start the thread for", path, error))?;
        let writer = Handle { jobs, id: thread.thread().id(), thread: Mutex::new(Some(thread)) };
        Ok(Self { shared: Arc::new(Shared { clock, readers, audit, events, outbox, answers, writer: Some(writer) }) })
    }

    /// Runs a transaction. Returns after it is durable; if this is an error, it has left no trace. Events that it
    /// recorded are published after the commit, in order. Other transactions may share the commit, but see all of this
    /// one or nothing. It runs even if the returned future is dropped, unless it had not been queued yet.
    pub async fn transact<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let writer = self.shared.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let (job, answer) = Typed::new(job);
        writer.jobs.push(Box::new(job)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Tells subscribers of an event that is not recorded.
    pub fn publish(&self, session: Option<SessionId>, turn: Option<TurnId>, event: Event) {
        let envelope = Envelope { seq: None, at: self.shared.clock.now(), session, turn, event };
        // Nobody may be listening.
        let _ = self.shared.events.send(envelope);
    }

    /// All events from here on. A subscriber that falls behind is told so and reads on with
    /// [`Store::events_after`].
    pub fn subscribe(&self) -> broadcast::Receiver<Envelope> {
        self.shared.events.subscribe()
    }

    /// Changes whenever deliveries were added; ends when the store is closed.
    pub fn outbox_wake(&self) -> watch::Receiver<u64> {
        self.shared.outbox.clone()
    }

    /// Changes whenever requests were settled; ends when the store is closed.
    pub(crate) fn answers(&self) -> watch::Receiver<u64> {
        self.shared.answers.clone()
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.shared.audit
    }

    /// The end of the audit log as the database remembers it; none before the first record. The log may be longer, but
    /// not shorter.
    pub fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        self.read(remembered_head)
    }

    /// Checks the whole database file. Takes time in proportion to its size.
    pub fn check(&self) -> Result<(), StoreError> {
        let found: Option<String> = self.read(|connection| codec::value(connection, "PRAGMA quick_check(1)", []))?;
        match found.as_deref() {
            Some("ok") => Ok(()),
            found => {
                let reason = found.unwrap_or("the check gave no result").to_owned();
                Err(StoreError::Corrupt { path: PathBuf::from("factotum.db"), reason })
            }
        }
    }

    /// Runs what waits, makes it durable and ends the threads. Writing fails from now on; reading goes on.
    pub async fn close(&self) {
        let mut ended = self.shared.outbox.clone();
        self.shared.audit.close();
        let Some(writer) = &self.shared.writer else { return };
        writer.jobs.close();
        // The thread holds the sender of this; its end is the end of the thread's work.
        while ended.changed().await.is_ok() {}
        writer.join();
    }

    pub(crate) fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.shared.readers.read(query)
    }
}

impl Handle {
    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the store panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.audit.close();
        if let Some(writer) = &self.writer {
            writer.jobs.close();
            // A transaction may have held the last handle, and a thread cannot wait for itself.
            if std::thread::current().id() != writer.id {
                writer.join();
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("audit", &self.shared.audit).finish_non_exhaustive()
    }
}

/// Marks what a crash left in between, and finds the remembered end of the audit log.
fn after_restart(connection: &Connection) -> Result<Option<Head>, StoreError> {
    let sql = "UPDATE outbox SET possible_repeat = 1 WHERE state = ?1 AND possible_repeat = 0";
    connection.execute(sql, [read::SENDING])?;
    remembered_head(connection)
}

fn remembered_head(connection: &Connection) -> Result<Option<Head>, StoreError> {
    let text: Option<String> = codec::value(connection, "SELECT value FROM meta WHERE name = ?1", [AUDIT_HEAD])?;
    text.map(|text| codec::decode("audit head", &text)).transpose()
}
