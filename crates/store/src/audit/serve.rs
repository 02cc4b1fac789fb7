//! The writer as a process of its own, under another user: it owns the files, chains what it is given and gives nothing
//! back but what stands in the log. Whoever speaks to it can append, and nothing else.

use std::{
    io::{self, BufReader},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use types::Clock;

use super::{
    AuditEntry, AuditError, Follower, Head, LogOptions, chain,
    wire::{self, Answer, Ask, MAX_REPEATED},
    writer::Appender,
};

/// The most connections at once; a daemon has one, and another one while it is restarted.
const MAX_CONNECTIONS: usize = 8;
/// How long an answer may wait to be read.
const WRITE: Duration = Duration::from_secs(10);

/// The log that is served.
pub struct AuditServer {
    path: PathBuf,
    appender: Mutex<Appender>,
    connections: AtomicUsize,
}

impl AuditServer {
    /// Opens the log, mends a torn last line and records that.
    pub fn open(path: &Path, options: LogOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>, AuditError> {
        let appender = Mutex::new(Appender::open(path, None, options, clock)?);
        Ok(Arc::new(Self { path: path.to_owned(), appender, connections: AtomicUsize::new(0) }))
    }

    /// The last durable record.
    pub fn head(&self) -> Head {
        self.lock().head().clone()
    }

    /// Whether the kernel lets the file only grow.
    pub fn only_grows(&self) -> bool {
        self.lock().only_grows()
    }

    /// Serves whoever connects as this user, until listening fails. Others are turned away without a byte. Every
    /// connection has a thread, which ends with it.
    pub fn serve(self: &Arc<Self>, listener: &UnixListener, user: u32) -> io::Result<()> {
        loop {
            let (stream, _) = listener.accept()?;
            let peer = rustix::net::sockopt::socket_peercred(&stream)?.uid.as_raw();
            if peer != user {
                tracing::warn!(peer, "another user wanted to write to the audit log, and was turned away");
                continue;
            }
            if self.connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
                self.connections.fetch_sub(1, Ordering::SeqCst);
                tracing::warn!("too many connections to the writer of the audit log");
                continue;
            }
            let server = self.clone();
            let work = move || {
                if let Err(error) = server.speak(&stream) {
                    tracing::debug!(%error, "a connection to the writer of the audit log ended");
                }
                server.connections.fetch_sub(1, Ordering::SeqCst);
            };
            if let Err(error) = std::thread::Builder::new().name("client".to_owned()).spawn(work) {
                self.connections.fetch_sub(1, Ordering::SeqCst);
                tracing::error!(%error, "no thread for a connection");
            }
        }
    }

    fn speak(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(WRITE))?;
        let mut reader = BufReader::new(stream);
        while let Some(ask) = wire::read::<Ask>(&mut reader)? {
            let answer = match ask {
                Ask::Hello { after } => self.hello(after),
                Ask::Append { after, entries } => self.append(&after, &entries),
            };
            crate::fault_point("answer");
            wire::write(&mut &*stream, &answer)?;
        }
        Ok(())
    }

    fn hello(&self, after: u64) -> Answer {
        let appender = self.lock();
        let mut follower = Follower::after(&self.path, Head { seq: after.saturating_sub(1), hash: String::new() });
        // The record itself comes first, if it is there.
        let read = follower.next(appender.head().seq, MAX_REPEATED + 1, wire::MAX_ENTRIES);
        let mut lines = match read {
            Ok(batch) => batch.lines,
            Err(error) => return failed(&error),
        };
        let at = match lines.first() {
            Some(line) if after > 0 && line.head.seq == after => Some(lines.remove(0).head.hash),
            Some(_) | None => (after == 0).then(|| Head::start().hash),
        };
        let text = |line: super::Line| String::from_utf8_lossy(&line.bytes).into_owned();
        let lines = lines.into_iter().map(text).collect();
        Answer::State { head: appender.head().clone(), at, lines, only_grows: appender.only_grows() }
    }

    fn append(&self, after: &Head, entries: &[AuditEntry]) -> Answer {
        if let Some(error) = entries.iter().find_map(|entry| chain::check(entry).err()) {
            return failed(&error);
        }
        let mut appender = self.lock();
        if appender.head() != after {
            return Answer::Stale;
        }
        match appender.append(entries) {
            Ok(first) => {
                crate::fault_point("appended");
                Answer::Appended { first, head: appender.head().clone() }
            }
            Err(AuditError::DiskFull) => Answer::DiskFull,
            Err(error) => failed(&error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Appender> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(error: &AuditError) -> Answer {
    Answer::Failed { why: error.to_string() }
}
