//! The handle to the log.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use serde_json::Value;
use tokio::sync::{oneshot, watch};
use types::Clock;

use super::{
    AuditEntry, AuditError, Connect, Head, LogOptions, chain, read,
    remote::Remote,
    sink::{Memory, Sink},
    writer::{Appender, Backend, Job, Writer},
};
use crate::queue::Queue;

/// How many records may wait to be written; more wait outside.
const MAX_QUEUE: usize = 1_024;

/// Who writes the audit log.
pub enum Keeping {
    /// This process, into the home.
    Own(LogOptions),
    /// A process of another user.
    Other {
        /// Where that process keeps it, for reading.
        path: PathBuf,
        /// The way to it.
        connect: Connect,
    },
}

/// The audit log. Cheap to clone; all clones append to the same log.
#[derive(Clone)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    head: Arc<watch::Sender<Head>>,
    /// None when the log is open for reading only.
    jobs: Option<Queue<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Place {
    File(PathBuf),
    Memory(Memory),
}

impl AuditLog {
    /// Opens the log for appending, mends a torn last line, and starts the thread that writes.
    pub(crate) fn open(
        path: &Path,
        known: Option<&Head>,
        options: LogOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let appender = Appender::open(path, known, options, clock)?;
        Self::start(Place::File(path.to_owned()), Backend::Own(Box::new(appender)))
    }

    /// The log that another process writes at `path`, behind the connection.
    pub(crate) fn open_remote(path: &Path, known: Option<&Head>, connect: Connect) -> Result<Self, AuditError> {
        Self::start(Place::File(path.to_owned()), Backend::Other(Box::new(Remote::new(connect, known))))
    }

    /// A log that is not kept.
    pub(crate) fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, AuditError> {
        let memory = Memory::default();
        let appender = Appender::new(Sink::Memory(memory.clone()), Head::start(), Vec::new(), clock);
        Self::start(Place::Memory(memory), Backend::Own(Box::new(appender)))
    }

    /// The log as a file that may only be read.
    pub(crate) fn open_read_only(path: &Path) -> Self {
        let head = Arc::new(watch::Sender::new(Head::start()));
        let shared = Shared { place: Place::File(path.to_owned()), head, jobs: None, thread: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    fn start(place: Place, backend: Backend) -> Result<Self, AuditError> {
        let (jobs, receiver) = Queue::new(MAX_QUEUE);
        let head = Arc::new(watch::Sender::new(backend.head().clone()));
        let writer = Writer { backend, head: head.clone() };
        let spawned = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(receiver));
        let thread = spawned.map_err(|error| AuditError::io("start the thread for", "audit.log", error))?;
        Ok(Self { shared: Arc::new(Shared { place, head, jobs: Some(jobs), thread: Mutex::new(Some(thread)) }) })
    }

    /// Appends a record and returns its number. It is on the disk when this returns; on an error nothing was recorded,
    /// and whatever was to be recorded must not happen.
    pub async fn append(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let jobs = self.shared.jobs.as_ref().ok_or(AuditError::ReadOnly)?;
        chain::check(&entry)?;
        let (reply, answer) = oneshot::channel();
        jobs.push(Job { entry, reply }).await.map_err(|_| AuditError::Closed)?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Records with a number over `after`, oldest first, at most `limit`.
    pub fn read(&self, after: u64, limit: usize) -> Result<Vec<Value>, AuditError> {
        match &self.shared.place {
            Place::File(path) => read::read(path, after, limit),
            Place::Memory(memory) => {
                let lines = memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
                read::from(lines.as_slice(), Path::new("memory"), after, limit)
            }
        }
    }

    /// The file; none for a log in memory.
    pub fn path(&self) -> Option<&Path> {
        match &self.shared.place {
            Place::File(path) => Some(path),
            Place::Memory(_) => None,
        }
    }

    /// The last durable record of a log that is open for appending.
    pub fn head(&self) -> Head {
        self.shared.head.borrow().clone()
    }

    /// The last durable record, and every later one as it comes.
    pub fn heads(&self) -> watch::Receiver<Head> {
        self.shared.head.subscribe()
    }

    /// Writes what waits and ends the thread. Appending fails from now on. Returns after at most a few writes.
    pub(crate) fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        if let Some(jobs) = &self.jobs {
            jobs.close();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the audit log panicked");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("path", &self.path()).finish_non_exhaustive()
    }
}
