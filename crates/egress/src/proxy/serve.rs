//! The proxy's front: takes connections from the sandbox, as many as are allowed at once, and hands each request to
//! where it belongs.

use std::{convert::Infallible, io, os::fd::OwnedFd, pin::pin, sync::Arc};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    SandboxEgress,
    answer::{Body, Refusal},
    forward::{Destination, Forwarder},
    head::{self, Asked},
    io::{Activity, Watched},
    revocation::{Held, Present, revoked},
    tunnel,
};
use crate::{EgressRecord, Stage};

/// How much of a message is buffered.
pub(super) const BUFFER: usize = 128 * 1024;
/// How many requests to models, and of git's for what it fetches, one sandbox may have looked through at once; more wait. Each is in memory until it is sent.
const BODIES: usize = 4;

/// The proxy of one sandbox.
pub struct Proxy {
    pub(super) egress: Arc<SandboxEgress>,
    /// Everything that runs for this sandbox; joined before [`Proxy::serve`] returns.
    pub(super) tracker: TaskTracker,
    pub(super) cancel: CancellationToken,
    /// Places for bodies that are looked through, and held in memory for that.
    pub(super) bodies: Arc<Semaphore>,
}

/// A connection from the sandbox, as its parts see it.
pub(super) struct Client {
    pub activity: Activity,
    /// The place among the allowed connections; a tunnel keeps it.
    _permit: OwnedSemaphorePermit,
}

impl Proxy {
    /// Serves on `listener`, a listening TCP socket, until it is cancelled; everything that is open then is closed. Fails
    /// if the descriptor is no such socket or accepting fails for good.
    pub async fn serve(listener: OwnedFd, egress: Arc<SandboxEgress>, cancel: CancellationToken) -> io::Result<()> {
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let cancel = cancel.child_token();
        let bodies = Arc::new(Semaphore::new(BODIES));
        let proxy = Arc::new(Self { egress, tracker: TaskTracker::new(), cancel: cancel.clone(), bodies });
        let result = tokio::select! {
            result = proxy.accept(&listener) => result,
            () = cancel.cancelled() => Ok(()),
        };
        cancel.cancel();
        proxy.tracker.close();
        proxy.tracker.wait().await;
        result
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(self.egress.limits.connections));
        loop {
            let permit = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(error = %error, "the proxy could not take a connection");
                    // Out of descriptors, mostly: others must end first.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (proxy, cancel) = (self.clone(), self.cancel.clone());
            self.tracker.spawn(async move {
                tokio::select! {
                    () = proxy.connection(stream, permit) => {}
                    () = cancel.cancelled() => {}
                }
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection from a sandbox ended at once");
            return;
        }
        let client = Arc::new(Client { activity: Activity::new(), _permit: permit });
        let present = Present::default();
        let forwarder = Arc::new(Forwarder::new(self.clone(), client.clone(), present.clone()));
        let stream = TokioIo::new(Watched::new(stream, client.activity.clone()));
        let service = service_fn(|request| {
            let (proxy, client, forwarder) = (self.clone(), client.clone(), forwarder.clone());
            async move { Ok::<_, Infallible>(proxy.answer(request, client, &forwarder).await) }
        });
        let connection = pin!(self.http().serve_connection(stream, service).with_upgrades());
        tokio::select! {
            result = connection => drop(result.inspect_err(|error| tracing::debug!(error = %error, "a client left"))),
            () = client.activity.ceased(self.egress.limits.idle) => {}
            () = revoked(&self.egress, &Held::Nothing, &present) => {}
        }
    }

    /// The one parser of what a sandbox sends.
    pub(super) fn http(&self) -> http1::Builder {
        let limits = &self.egress.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_headers(limits.header_count)
            .max_header_size(limits.head)
            .max_buf_size(BUFFER.max(limits.head))
            .auto_date_header(false);
        builder
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: Arc<Client>,
        forwarder: &Forwarder,
    ) -> Response<Body> {
        let method = request.method().clone();
        match head::to_proxy(&method, request.uri(), request.headers()) {
            Ok(Asked::Tunnel(target)) => tunnel::open(self, client, target, &mut request).await,
            Ok(Asked::Plain(asked)) => {
                let destination = Destination { scheme: asked.scheme, target: asked.target };
                forwarder.forward(destination, asked.path, request).await
            }
            Err(refusal) => {
                self.denied(&refusal, String::new(), 0, method.as_str()).await;
                refusal.response()
            }
        }
    }

    /// Records a refusal. Nothing was sent, so a log that cannot be written changes nothing.
    pub(super) async fn denied(&self, refusal: &Refusal, host: String, port: u16, method: &str) {
        // A word of the program's own making does not go into the log.
        let is_method =
            (1..=24).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let method = if is_method { method } else { "?" };
        let mut record = EgressRecord::new(Stage::Denied, self.egress.who.clone(), host, port, method);
        record.reason = Some(refusal.code);
        record.status = Some(refusal.status.as_u16());
        if self.egress.log.record(&record).await.is_err() {
            tracing::error!(host = record.host, "a refusal could not be recorded");
        }
    }
}

/// Whether the next connection may well be taken.
fn is_passing(error: &io::Error) -> bool {
    let descriptors =
        matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE));
    descriptors
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset
        )
}
