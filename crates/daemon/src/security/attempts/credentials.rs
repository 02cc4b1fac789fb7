//! Credentials: a real proxy on loopback, with a server beside it that keeps what it was sent. A placeholder out of its place
//! must never become the value, and somebody else's key must not arrive.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use egress::{
    Binding, CredentialSlot, DayTally, EgressConfig, EgressLog, EgressPolicy, EgressRecord, HostPattern, Judge, Limits,
    Network, PathPattern, Placeholders, Proxy, RuleConfig, SandboxCa, SandboxEgress, SecretSettings, SecretValue,
    StreamClient, Unrecorded, Upstream, Vault, Who,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, Clock, SecretName};

use super::Surroundings;
use crate::{
    SystemClock,
    security::{
        Outcome,
        arena::{Trouble, workspace_name},
    },
};

/// The planted secret.
const VALUE: &str = "audit-value-5d1f0c7e9a3b";
/// The attacker's own key for the same host.
const FOREIGN: &str = "attackers-own-key-77aa";
/// The most bytes of one request that the server keeps.
const MAX_KEPT: usize = 64 << 10;

/// Sends the placeholder to its own place once, and everywhere else.
pub(super) async fn misplaced(_around: &Surroundings) -> Outcome {
    match sent().await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn sent() -> Result<Outcome, Trouble> {
    let (bound, kept_bound) = server().await?;
    let (other, kept_other) = server().await?;
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let ends = CancellationToken::new();
    let (proxy, placeholder, serving) = proxy(scratch.path(), bound.address, other.address, ends.clone()).await?;
    let p = placeholder.as_str();
    let of = |to: SocketAddr, path: &str, headers: &str| {
        format!("GET http://{to}{path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}\r\n")
    };
    let right = of(bound.address, "/bound/x", &format!("Authorization: Bearer {p}\r\n"));
    let wrong = [
        ("under another path", of(bound.address, "/other/x", &format!("Authorization: Bearer {p}\r\n"))),
        ("at another host", of(other.address, "/bound/x", &format!("Authorization: Bearer {p}\r\n"))),
        ("in another header", of(bound.address, "/bound/x", &format!("X-Api-Key: {p}\r\n"))),
        ("in the address", of(bound.address, &format!("/bound/{p}?q={p}"), "")),
        ("in another shape", of(bound.address, "/bound/x", &format!("Authorization: Basic {p}\r\n"))),
    ];
    let mut through = Vec::new();
    ask(proxy, &right).await?;
    if !taken(&kept_bound).contains(VALUE) {
        ends.cancel();
        return Err("the secret does not even go where it is bound to".to_owned());
    }
    for (what, request) in &wrong {
        ask(proxy, request).await?;
        if taken(&kept_bound).contains(VALUE) || taken(&kept_other).contains(VALUE) {
            through.push(format!("the secret's value was sent {what}"));
        }
    }
    ask(proxy, &of(bound.address, "/bound/x", &format!("Authorization: Bearer {FOREIGN}\r\nX-Api-Key: {FOREIGN}\r\n")))
        .await?;
    if taken(&kept_bound).contains(FOREIGN) {
        through.push("somebody else's key reached the host, which makes a drop box of it".to_owned());
    }
    ends.cancel();
    drop((bound, other));
    if tokio::time::timeout(Duration::from_secs(5), serving.join_all()).await.is_err() {
        tracing::warn!("the audit's proxy did not end in time");
    }
    Ok(Outcome::unless(&through, "a placeholder in 5 wrong places, and a foreign key"))
}

type Kept = Arc<Mutex<Vec<u8>>>;

/// A server that ends with this value.
struct Server {
    address: SocketAddr,
    _task: tokio::task::JoinSet<()>,
}

/// What was kept since the last time.
fn taken(kept: &Kept) -> String {
    let bytes = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers everything with nothing and keeps what it was sent.
async fn server() -> Result<(Server, Kept), Trouble> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let kept = Kept::default();
    let keep = kept.clone();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; MAX_KEPT];
            let mut length = 0;
            while !bytes[..length].windows(4).any(|end| end == b"\r\n\r\n") && length < MAX_KEPT {
                match stream.read(&mut bytes[length..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => length += more,
                }
            }
            keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..length]);
            // Whoever went away needs no answer.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    Ok((Server { address, _task: task }, kept))
}

/// Sends a request as it is and waits for the whole answer.
async fn ask(proxy: SocketAddr, request: &str) -> Result<(), Trouble> {
    let exchange = async {
        let mut stream =
            StreamClient::plain("127.0.0.1", proxy.port()).connect().await.map_err(|error| error.to_string())?;
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        // A connection that the proxy cuts is an answer as well.
        let _ = stream.read_to_end(&mut answer).await;
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.map_err(|_| "the proxy did not answer".to_owned())?
}

/// What a proxy tells is of no interest here.
struct NoLog;

impl EgressLog for NoLog {
    fn record<'a>(&'a self, _record: &'a EgressRecord) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async { Ok(()) })
    }
}

/// A proxy with a vault of its own, whose only secret is bound to one server and path. Gives its address and what stands for
/// the secret.
async fn proxy(
    home: &std::path::Path,
    bound: SocketAddr,
    other: SocketAddr,
    ends: CancellationToken,
) -> Result<(SocketAddr, String, tokio::task::JoinSet<()>), Trouble> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let vault = Vault::open(home).map_err(|error| words(&error))?;
    let name = SecretName::new("planted").map_err(|error| words(&error))?;
    let binding = Binding {
        host: HostPattern::parse("127.0.0.1").map_err(|error| words(&error))?,
        port: bound.port(),
        methods: Vec::new(),
        paths: vec![PathPattern::parse("/bound/**").map_err(|error| words(&error))?],
        slot: CredentialSlot::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() },
    };
    let settings = SecretSettings { bindings: Some(vec![binding]), env: None };
    let value = SecretValue::new(VALUE).map_err(|error| words(&error))?;
    vault.put(&name, value, settings, clock.now()).map_err(|error| words(&error))?;
    let rule = RuleConfig {
        host: "127.0.0.1".to_owned(),
        ports: vec![bound.port(), other.port()],
        plain_http: true,
        private: true,
        ..RuleConfig::default()
    };
    let config = EgressConfig { rules: vec![rule], secrets: [name.clone()].into(), ..EgressConfig::default() };
    let rules = config.rules().map_err(|error| words(&error))?;
    let network = Network::system(Vec::new(), Vec::new(), Vec::new());
    let judge = Judge::new(Arc::new(rules), network, Arc::new(DayTally::new(clock.clone())));
    let upstream = Upstream::new(&[]).map_err(|error| words(&error))?;
    let (keep, policy) = watch::channel(Arc::new(EgressPolicy { judge, tainted: None, upstream }));
    let placeholders = Placeholders::new([(name.clone(), None)]).map_err(|error| words(&error))?;
    let placeholder = placeholders.of(&name).unwrap_or_default().to_owned();
    let who = Who { session: Some(1), workspace: Some(workspace_name()?.to_string()), client: "audit" };
    let ca = SandboxCa::new(clock.now()).map_err(|error| words(&error))?;
    let limits = Limits::default();
    let untainted = Box::new(|| true);
    let egress = Arc::new(SandboxEgress {
        who,
        policy,
        untainted,
        placeholders,
        vault,
        ca,
        log: Arc::new(NoLog),
        clock,
        limits,
    });
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| words(&error))?;
    let address = listener.local_addr().map_err(|error| words(&error))?;
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        // The policy that is in force lasts as long as somebody could change it.
        let _keep = keep;
        if let Err(error) = Proxy::serve(OwnedFd::from(listener), egress, ends).await {
            tracing::debug!(%error, "the audit's proxy ended");
        }
    });
    Ok((address, placeholder, serving))
}
