//! The listeners, the routes, and serving until the daemon has stopped.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::{TcpListener, UnixListener};

use super::{
    auth, commands,
    connections::{Bounded, MAX_CONNECTIONS, Proof, TO_PROVE},
    events, reads,
};
use crate::core::Core;

/// How long open requests may go on when the daemon stops.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the API listens.
pub(crate) struct Listeners {
    pub tcp: TcpListener,
    pub unix: UnixListener,
    pub address: SocketAddr,
}

/// Opens both listeners. The caller must hold the home's lock: a socket that lies there is then from a daemon that is
/// no more, and is replaced.
pub(crate) async fn bind(address: SocketAddr, socket: &Path) -> Result<Listeners, BindError> {
    let busy = |source| BindError::Tcp { address, source };
    let tcp = TcpListener::bind(address).await.map_err(busy)?;
    let address = tcp.local_addr().map_err(busy)?;
    debug_assert!(address.ip().is_loopback() || address.ip() == Ipv4Addr::LOCALHOST);
    let failed = |source| BindError::Unix { path: socket.display().to_string(), source };
    match std::fs::remove_file(socket) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // The home is 0700, so nobody can reach the socket in the moment before its own mode is set.
    let unix = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(Listeners { tcp, unix, address })
}

/// Why the API cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("{address} cannot be listened on: {source}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("the socket {path} cannot be made: {source}")]
    Unix { path: String, source: io::Error },
}

fn routes(core: Arc<Core>) -> Router {
    Router::new()
        .route("/v1/health", get(reads::health))
        .route("/v1/commands", post(commands::command))
        .route("/v1/events", get(events::events))
        .route("/v1/sessions", get(reads::sessions))
        .route("/v1/sessions/{id}/messages", get(reads::messages))
        .route("/v1/sessions/{id}/why", get(reads::why))
        .route("/v1/proposals", get(reads::proposals))
        .route("/v1/turns/{id}", get(reads::turn))
        .route("/v1/jobs", get(reads::jobs))
        .route("/v1/jobs/recipes", get(reads::recipes))
        .route("/v1/jobs/recipes/{name}", get(reads::recipe))
        .route("/v1/jobs/{id}", get(reads::job))
        .route("/v1/jobs/{id}/log", get(reads::job_log))
        .route("/v1/jobs/{id}/diff", get(reads::job_diff))
        .route("/v1/approvals", get(reads::approvals))
        .route("/v1/allowances", get(reads::allowances))
        .route("/v1/coders", get(reads::coders))
        .route("/v1/models", get(reads::models))
        .route("/v1/models/costs", get(reads::model_costs))
        .route("/v1/snapshots", get(reads::snapshots))
        .route("/v1/status", get(reads::status))
        .route("/v1/doctor", get(reads::doctor))
        .route("/v1/log", get(reads::log))
        .fallback(reads::nothing)
        .layer(DefaultBodyLimit::max(commands::MAX_BODY))
        .with_state(core)
}

/// Serves both listeners until the daemon closes.
pub(crate) async fn serve(core: Arc<Core>, listeners: Listeners) {
    let open = routes(core.clone());
    let guarded = open.clone().layer(middleware::from_fn_with_state(core.clone(), auth::require));
    let tcp = listeners.tcp.tap_io(|stream| {
        // Without this, small answers wait for the acknowledgement of the piece before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let tcp = Bounded::new(tcp, MAX_CONNECTIONS, Some(TO_PROVE));
    let unix = Bounded::new(listeners.unix, MAX_CONNECTIONS, None);
    let guarded = guarded.into_make_service_with_connect_info::<Proof>();
    let closing = core.phases.closing.clone();
    let over_tcp = axum::serve(tcp, guarded).with_graceful_shutdown(closing.clone().cancelled_owned());
    let over_unix = axum::serve(unix, open).with_graceful_shutdown(closing.clone().cancelled_owned());
    let both = async { tokio::join!(over_tcp, over_unix) };
    tokio::select! {
        (tcp, unix) = both => {
            for error in [tcp.err(), unix.err()].into_iter().flatten() {
                tracing::error!(%error, "the API broke off");
            }
        }
        () = async {
            closing.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        } => tracing::debug!("open requests were cut off"),
    }
    if let Err(error) = std::fs::remove_file(core.home.socket()) {
        tracing::debug!(%error, "the socket was not removed");
    }
}
