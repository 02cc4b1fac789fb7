//! The socket to the sandbox's first process: orders go in, endings come out and find whoever waits for them.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use crate::{
    SandboxError,
    wire::{End, MAX_PACKET, News, Order, Received, encode, receive, send},
};

/// What became of a command.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ran and ended.
    Ended(End),
    /// It could not be started.
    NotStarted(String),
}

/// Who waits for a command.
#[derive(Debug)]
struct Waiter {
    /// For its start, where that is told.
    start: Option<oneshot::Sender<Option<OwnedFd>>>,
    /// For its end.
    end: oneshot::Sender<Outcome>,
}

type Waiting = HashMap<u64, Waiter>;

#[derive(Debug)]
pub(super) struct Link {
    socket: AsyncFd<OwnedFd>,
    /// None once the sandbox has ended.
    waiting: Mutex<Option<Waiting>>,
}

impl Link {
    pub fn new(socket: AsyncFd<OwnedFd>) -> Self {
        Self { socket, waiting: Mutex::new(Some(HashMap::new())) }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_open(&self) -> bool {
        self.waiting().is_some()
    }

    /// Says beforehand who waits for the end of a command.
    pub fn expect(&self, id: u64) -> Result<oneshot::Receiver<Outcome>, SandboxError> {
        let (end, receiver) = oneshot::channel();
        self.waiting().as_mut().ok_or(SandboxError::Gone)?.insert(id, Waiter { start: None, end });
        Ok(receiver)
    }

    /// Says beforehand who waits for the start of a named program and for what comes along with it; fails when it was not started, which its end then tells.
    pub fn expect_start(&self, id: u64) -> oneshot::Receiver<Option<OwnedFd>> {
        let (start, receiver) = oneshot::channel();
        if let Some(waiter) = self.waiting().as_mut().and_then(|waiting| waiting.get_mut(&id)) {
            waiter.start = Some(start);
        }
        receiver
    }

    /// The commands that run, but this one.
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.waiting().as_ref().into_iter().flat_map(|all| all.keys()).copied().filter(|other| *other != id).collect()
    }

    /// Nobody waits for this command any more.
    pub fn forget(&self, id: u64) {
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.remove(&id);
        }
    }

    pub async fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        let bytes = encode(order).map_err(|error| SandboxError::Command(error.to_string()))?;
        post(&self.socket, &bytes, fds).await.map_err(|_| SandboxError::Gone)
    }

    /// Passes news on until the sandbox ends or is to end.
    pub async fn listen(&self, ending: &CancellationToken) {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let next = tokio::select! {
                () = ending.cancelled() => break,
                next = next(&self.socket, &mut buffer) => next,
            };
            match next {
                Ok(Some((News::Started { id }, fds))) => self.started(id, fds.into_iter().next()),
                Ok(Some((News::Ended { id, end }, _))) => self.tell(id, Outcome::Ended(end)),
                Ok(Some((News::NotStarted { id, why }, _))) => self.tell(id, Outcome::NotStarted(why)),
                Ok(Some((News::Failed(failure), _))) => {
                    tracing::error!(step = failure.step, why = failure.why, "a sandbox failed");
                }
                Ok(Some((News::Born | News::Ready, _))) => tracing::error!("a sandbox was built twice"),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "a sandbox speaks nonsense");
                    break;
                }
            }
        }
        // Dropping the senders tells everybody who waits.
        self.waiting().take();
    }

    fn started(&self, id: u64, descriptor: Option<OwnedFd>) {
        let mut waiting = self.waiting();
        let start = waiting.as_mut().and_then(|waiting| waiting.get_mut(&id)).and_then(|waiter| waiter.start.take());
        if let Some(start) = start {
            // Whoever waited may have given up.
            _ = start.send(descriptor);
        }
    }

    fn tell(&self, id: u64, outcome: Outcome) {
        let waiter = self.waiting().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(waiter) = waiter {
            // The same.
            _ = waiter.end.send(outcome);
        }
    }
}

/// Sends one packet.
pub(super) async fn post(socket: &AsyncFd<OwnedFd>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, |socket| send(socket.as_fd(), bytes, fds)).await
}

/// Receives one packet.
pub(super) async fn next(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<Received<News>> {
    loop {
        match socket.async_io(Interest::READABLE, |socket| receive::<News>(socket, buffer)).await {
            // The other side ended and left something unread, which the kernel says once. What it told before comes after that.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            received => return received,
        }
    }
}
