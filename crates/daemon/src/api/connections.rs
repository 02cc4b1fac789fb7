//! How many connections may be open, and how long one may take to prove that it is the owner's. Every user of this
//! machine can connect to the loopback address; without bounds they could use up all of the daemon's descriptors.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// Connections of one listener that may be open at the same time; more wait in the kernel's queue.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// How long a connection over TCP may live without the token.
pub(super) const TO_PROVE: Duration = Duration::from_secs(10);

/// A listener with room for so many connections.
pub(super) struct Bounded<L> {
    listener: L,
    room: Arc<Semaphore>,
    /// None: whoever connects is the owner, as on the Unix socket.
    to_prove: Option<Duration>,
}

impl<L> Bounded<L> {
    pub fn new(listener: L, most: usize, to_prove: Option<Duration>) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(most)), to_prove }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = self.room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = self.listener.accept().await;
        let deadline = self.to_prove.map(|limit| Box::pin(sleep(limit)));
        (Connection { stream, deadline, proof: Proof::default(), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Whether a connection has shown the token.
#[derive(Clone, Debug, Default)]
pub(super) struct Proof(Arc<AtomicBool>);

impl Proof {
    /// From here on the connection may take its time. True when it had not shown the token before.
    pub fn accept(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether the connection has shown the token.
    pub fn is_given(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Forgets that the connection has shown the token.
    pub fn withdraw(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<L: Listener> Connected<IncomingStream<'_, Bounded<L>>> for Proof {
    fn connect_info(stream: IncomingStream<'_, Bounded<L>>) -> Self {
        stream.io().proof.clone()
    }
}

/// A connection that counts, and that breaks off when its time is up.
pub(super) struct Connection<S> {
    stream: S,
    deadline: Option<Pin<Box<Sleep>>>,
    proof: Proof,
    _permit: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    /// Ready when the time to prove is over. Polled whenever the stream itself has nothing.
    fn overdue(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.proof.0.load(Ordering::Acquire) {
            self.deadline = None;
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        // First: bytes that trickle in must not put the end off.
        if let Poll::Ready(error) = connection.overdue(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut connection.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        if let Poll::Ready(error) = connection.overdue(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut connection.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        sync::mpsc,
        time::{Instant, timeout},
    };

    use super::*;

    struct Fake(mpsc::UnboundedReceiver<DuplexStream>);

    impl Listener for Fake {
        type Io = DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (DuplexStream, ()) {
            match self.0.recv().await {
                Some(stream) => (stream, ()),
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A listener with so much room, and the far ends of so many clients.
    fn scene(room: usize, clients: usize) -> (Bounded<Fake>, Vec<DuplexStream>) {
        let (send, receive) = mpsc::unbounded_channel();
        let far = (0..clients).map(|_| {
            let (near, far) = duplex(64);
            send.send(near).unwrap();
            far
        });
        let far = far.collect();
        (Bounded::new(Fake(receive), room, Some(TO_PROVE)), far)
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many() {
        let (mut listener, _far) = scene(2, 3);
        let first = listener.accept().await;
        let _second = listener.accept().await;
        assert!(timeout(Duration::from_secs(1), listener.accept()).await.is_err(), "a third one was let in");
        drop(first);
        assert!(timeout(Duration::from_secs(1), listener.accept()).await.is_ok(), "the room was not given back");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_prove_it_is_cut_off_even_while_bytes_trickle() {
        let (mut listener, mut far) = scene(1, 1);
        let begun = Instant::now();
        let (mut connection, ()) = listener.accept().await;
        let trickle = async {
            while far[0].write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(500)).await;
            }
        };
        let mut all = Vec::new();
        let error = tokio::select! {
            read = connection.read_to_end(&mut all) => read.unwrap_err(),
            () = trickle => panic!("the connection was dropped"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < TO_PROVE + Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_proved_it_may_take_their_time() {
        let (mut listener, mut far) = scene(1, 1);
        let (mut connection, ()) = listener.accept().await;
        connection.proof.accept();
        let late = async {
            sleep(TO_PROVE * 10).await;
            far[0].write_all(b"x").await.unwrap();
        };
        let mut byte = [0];
        let (read, ()) = tokio::join!(connection.read_exact(&mut byte), late);
        assert_eq!(read.unwrap(), 1);
    }
}
