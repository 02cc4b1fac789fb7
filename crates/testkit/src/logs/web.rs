//! A web server that takes NDJSON by POST.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio::{net::TcpListener, task::JoinSet};

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebFault {
    /// It is answered with this status, and nothing is kept.
    Status(u16),
    /// It is kept, and answered with this status: the answer does not tell.
    KeptButStatus(u16),
    /// The answer takes this long.
    Slow(Duration),
}

/// A server that keeps what it is sent. Dropping it closes its port.
pub struct LogServer {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Taken {
    lines: Vec<String>,
    credentials: Vec<Option<String>>,
    faults: VecDeque<WebFault>,
}

impl LogServer {
    /// Listens on a free port of the loopback device.
    ///
    /// # Panics
    /// When none is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let taken = Arc::new(Mutex::new(Taken::default()));
        let app = Router::new()
            .route("/ingest/logs", post(take))
            .layer(DefaultBodyLimit::max(8 << 20))
            .with_state(taken.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // It ends with the server.
            let _ = axum::serve(listener, app).await;
        });
        Self { address, taken, _tasks: tasks }
    }

    /// Where to post.
    pub fn url(&self) -> String {
        format!("http://{}/ingest/logs", self.address)
    }

    /// The next request goes wrong like this; after those that were told before.
    pub fn fail(&self, fault: WebFault) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).faults.push_back(fault);
    }

    /// Every line that was kept.
    pub fn lines(&self) -> Vec<String> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// What stood in the header `Authorization` of each request.
    pub fn credentials(&self) -> Vec<Option<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).credentials.clone()
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: String) -> StatusCode {
    let credential = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let fault = {
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.credentials.push(credential);
        taken.faults.pop_front()
    };
    let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = match fault {
        Some(WebFault::Status(code)) => return status(code),
        Some(WebFault::KeptButStatus(code)) => status(code),
        Some(WebFault::Slow(time)) => {
            tokio::time::sleep(time).await;
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NO_CONTENT,
    };
    taken.lock().unwrap_or_else(PoisonError::into_inner).lines.extend(body.lines().map(str::to_owned));
    answer
}
