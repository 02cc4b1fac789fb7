//! The clients: where a secret goes, what is bounded, and what errors never show.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Response, header},
    routing::any,
};
use egress::{
    ClientConfig, EgressError, EgressErrorKind as Kind, HttpClient, LocalClient, Method, SecretValue, Slot, Timeouts,
    Vault,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use types::{SecretName, Timestamp};

const SECRET: &str = "123456:AA-secret_value";
const NOW: Timestamp = Timestamp(1_000);

/// What the server saw of each request: its address and its headers.
type Seen = Arc<Mutex<Vec<(String, Vec<(String, String)>)>>>;

struct Bench {
    base_url: String,
    seen: Seen,
    vault: Vault,
    _home: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Bench {
    async fn start() -> Self {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let app = app(seen.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(axum::serve(listener, app).await) });
        let home = tempfile::tempdir().unwrap();
        let vault = Vault::open(home.path()).unwrap();
        vault.set(&name(), SecretValue::new(SECRET).unwrap(), NOW).unwrap();
        Self { base_url, seen, vault, _home: home, _tasks: tasks }
    }

    fn client(&self, change: impl FnOnce(&mut ClientConfig)) -> HttpClient {
        let mut config = ClientConfig::new(&self.base_url);
        change(&mut config);
        HttpClient::new(config, self.vault.clone()).unwrap()
    }

    fn seen(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.seen.lock().unwrap().clone()
    }
}

fn name() -> SecretName {
    SecretName::new("token").unwrap()
}

fn app(seen: Seen) -> Router {
    Router::new().fallback(any(answer)).with_state(seen)
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response<Body> {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    seen.lock().unwrap().push((request.uri().to_string(), headers.collect()));
    let pieces = |count: usize, every: Duration| {
        Body::from_stream(stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 1000]))
        }))
    };
    match request.uri().path() {
        "/hang" => std::future::pending().await,
        "/drip" => Response::new(pieces(100, Duration::from_millis(20))),
        "/large" => Response::new(pieces(100, Duration::ZERO)),
        "/gap" => Response::new(Body::from_stream(
            stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x"))]).chain(stream::pending()),
        )),
        "/moved" => Response::builder().status(302).header(header::LOCATION, "/other").body(Body::empty()).unwrap(),
        _ => Response::new(Body::from(json!({"ok": true}).to_string())),
    }
}

async fn get(client: &HttpClient, path: &str) -> Result<egress::Response, EgressError> {
    client.request(Method::GET, path).send(&CancellationToken::new()).await
}

fn with_slot(slot: Slot) -> impl FnOnce(&mut ClientConfig) {
    move |config| config.secret = Some((name(), slot))
}

const BEARER: Slot = Slot::Header { name: "authorization", prefix: "Bearer " };

#[tokio::test]
async fn a_secret_goes_into_its_header_alone() {
    let bench = Bench::start().await;
    let client = bench.client(with_slot(BEARER));
    let answer: Value = get(&client, "/a").await.unwrap().json_limited(1000).await.unwrap();
    assert_eq!(answer, json!({"ok": true}));
    let (address, headers) = bench.seen().remove(0);
    assert_eq!(address, "/a");
    let holders: Vec<&(String, String)> = headers.iter().filter(|(_, value)| value.contains(SECRET)).collect();
    assert_eq!(holders, [&("authorization".to_owned(), format!("Bearer {SECRET}"))]);
}

#[tokio::test]
async fn a_secret_goes_into_its_path_alone() {
    let bench = Bench::start().await;
    let client = bench.client(with_slot(Slot::Path));
    get(&client, "/bot{secret}/getMe").await.unwrap();
    let (address, headers) = bench.seen().remove(0);
    assert_eq!(address, format!("/bot{SECRET}/getMe"));
    assert!(!headers.iter().any(|(_, value)| value.contains(SECRET)));
}

#[tokio::test]
async fn a_changed_secret_is_used_at_once() {
    let bench = Bench::start().await;
    let client = bench.client(with_slot(BEARER));
    get(&client, "/a").await.unwrap();
    bench.vault.set(&name(), SecretValue::new("changed-value").unwrap(), NOW).unwrap();
    get(&client, "/a").await.unwrap();
    assert!(bench.seen()[1].1.contains(&("authorization".to_owned(), "Bearer changed-value".to_owned())));
    bench.vault.remove(&name()).unwrap();
    let error = get(&client, "/a").await.unwrap_err();
    assert_eq!((error.kind, bench.seen().len()), (Kind::Secret, 2));
    assert!(error.message.contains("factotum secret set token"), "{error}");
}

#[tokio::test]
async fn no_error_shows_the_secret() {
    let bench = Bench::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (slot, path) in [(Slot::Path, "/bot{secret}/x"), (BEARER, "/x")] {
        let change = |config: &mut ClientConfig| {
            config.secret = Some((name(), slot.clone()));
            config.base_url = format!("http://{closed}");
        };
        let client = bench.client(change);
        let error = get(&client, path).await.unwrap_err();
        assert_eq!(error.kind, Kind::Connect);
        let shown = format!("{error} {error:?} {client:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("AA-secret"), "{shown}");
    }
    let client = bench.client(|_| {});
    assert_eq!(client.masked("x"), "x");
    let client = bench.client(with_slot(BEARER));
    assert!(!client.masked(&format!("you sent {SECRET}!")).contains(SECRET));
}

#[tokio::test]
async fn secrets_that_do_not_fit_their_slot_are_refused() {
    let bench = Bench::start().await;
    for (slot, bad) in [(Slot::Path, "a/b"), (Slot::Path, "a?b"), (Slot::Path, "ä"), (BEARER, "a\nb")] {
        let path = if slot == Slot::Path { "/x/{secret}/y" } else { "/x" };
        bench.vault.set(&name(), SecretValue::new(bad).unwrap(), NOW).unwrap();
        let client = bench.client(with_slot(slot));
        assert_eq!(get(&client, path).await.unwrap_err().kind, Kind::Secret, "{bad}");
    }
    bench.vault.set(&name(), SecretValue::new("..").unwrap(), NOW).unwrap();
    let client = bench.client(with_slot(Slot::Path));
    assert_eq!(get(&client, "/x/{secret}/y").await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(bench.seen(), []);
}

#[tokio::test]
async fn only_the_configured_origin_is_spoken_to() {
    let bench = Bench::start().await;
    let client = bench.client(|config| config.base_url.push_str("/base/"));
    get(&client, "/a").await.unwrap();
    client.request(Method::GET, "/b").query(&[("q", "x y&z")]).send(&CancellationToken::new()).await.unwrap();
    let addresses: Vec<String> = bench.seen().into_iter().map(|(address, _)| address).collect();
    assert_eq!(addresses, ["/base/a", "/base/b?q=x+y%26z"]);
    for path in
        ["", "a", "@evil.example/", "/../a", "/a/../../b", "/a?b", "/a#b", "/a\\b", "/a\r\nHost: evil", "/%2e%2e/a"]
    {
        assert_eq!(get(&client, path).await.unwrap_err().kind, Kind::Invalid, "{path:?}");
    }
    // This one stays a path, however odd.
    get(&client, "//evil.example/a").await.unwrap();
    assert_eq!(bench.seen().pop().unwrap().0, "/base//evil.example/a");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let bench = Bench::start().await;
    let response = get(&bench.client(with_slot(BEARER)), "/moved").await.unwrap();
    assert_eq!((response.status(), response.header("location")), (302, Some("/other")));
    assert_eq!(bench.seen().len(), 1);
}

#[tokio::test]
async fn the_slot_cannot_be_taken() {
    let bench = Bench::start().await;
    let request = bench.client(with_slot(BEARER)).request(Method::GET, "/a").header("Authorization", "Bearer mine");
    assert_eq!(request.send(&CancellationToken::new()).await.unwrap_err().kind, Kind::Invalid);
    let request = bench.client(|_| {}).request(Method::GET, "/a").header("x-a", "b\r\nx-c: d");
    assert_eq!(request.send(&CancellationToken::new()).await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(bench.seen(), []);
}

#[tokio::test]
async fn every_wait_is_bounded() {
    let bench = Bench::start().await;
    let short =
        Timeouts { first_byte: Duration::from_millis(80), idle: Duration::from_millis(80), ..Timeouts::default() };
    let client = bench.client(|config| config.timeouts = short);
    assert_eq!(get(&client, "/hang").await.unwrap_err().kind, Kind::Timeout);
    let gap = get(&client, "/gap").await.unwrap().text_limited(1000).await;
    assert_eq!(gap.unwrap_err().kind, Kind::Timeout);
    let client = bench.client(|config| config.timeouts.total = Duration::from_millis(150));
    let drip = get(&client, "/drip").await.unwrap().bytes_limited(1_000_000).await;
    assert_eq!(drip.unwrap_err().kind, Kind::Timeout);
    let started = Instant::now();
    let request = bench.client(|_| {}).request(Method::GET, "/hang").timeout(Duration::from_millis(80));
    assert_eq!(request.send(&CancellationToken::new()).await.unwrap_err().kind, Kind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn every_body_is_bounded() {
    let bench = Bench::start().await;
    let client = bench.client(|_| {});
    assert_eq!(get(&client, "/large").await.unwrap().bytes_limited(100_000).await.unwrap().len(), 100_000);
    assert_eq!(get(&client, "/large").await.unwrap().bytes_limited(99_999).await.unwrap_err().kind, Kind::TooLarge);
    assert_eq!(get(&client, "/large").await.unwrap().text_prefix(1500).await.len(), 1500);
    let client = bench.client(|config| config.max_body_bytes = 5000);
    assert_eq!(get(&client, "/large").await.unwrap().bytes_limited(1_000_000).await.unwrap_err().kind, Kind::TooLarge);
    let text = get(&client, "/a").await.unwrap().json_limited::<Vec<u8>>(1000).await.unwrap_err();
    assert_eq!(text.kind, Kind::Malformed);
}

#[tokio::test]
async fn a_stop_takes_effect_at_once() {
    let bench = Bench::start().await;
    let client = bench.client(|_| {});
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let started = Instant::now();
    let (_, answer) = tokio::join!(stop, client.request(Method::GET, "/hang").send(&cancel));
    assert_eq!(answer.unwrap_err().kind, Kind::Cancelled);
    assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
    assert_eq!(client.request(Method::GET, "/a").send(&cancel).await.unwrap_err().kind, Kind::Cancelled);
}

#[test]
fn addresses_are_checked() {
    let home = tempfile::tempdir().unwrap();
    let vault = Vault::open(home.path()).unwrap();
    let check = |text: &str| HttpClient::new(ClientConfig::new(text), vault.clone()).map(|client| client.authority());
    assert_eq!(check("https://api.example.org/v1"), Ok("api.example.org".to_owned()));
    assert_eq!(check("http://127.0.0.1:8081"), Ok("127.0.0.1:8081".to_owned()));
    for bad in [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "http://",
        "https://me:pass@example.org",
        "https://x/?a=b",
        "https://x/#a",
    ] {
        let error = check(bad).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{bad}");
        assert!(!error.message.contains("pass@"), "{error}");
    }
}

#[tokio::test]
async fn a_local_socket_is_spoken_to() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("api.sock");
    let client = LocalClient::new(&socket);
    let send = |path: &'static str| {
        let client = client.clone();
        async move { client.request(Method::POST, path).json(&json!({"a": 1})).send(&CancellationToken::new()).await }
    };
    assert_eq!(send("/a").await.unwrap_err().kind, Kind::Connect);
    let seen = Seen::default();
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let app = app(seen.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(axum::serve(listener, app).await) });
    let answer: Value = send("/v1/x").await.unwrap().json_limited(1000).await.unwrap();
    assert_eq!(answer, json!({"ok": true}));
    assert_eq!(seen.lock().unwrap()[0].0, "/v1/x");
    assert!(Path::new(&socket).exists());
}

#[tokio::test]
async fn a_server_without_encryption_is_told_from_one_that_is_absent() {
    let bench = Bench::start().await;
    let client = bench.client(|config| config.base_url = config.base_url.replace("http:", "https:"));
    // Where the machine trusts nobody, the error is of the same kind and names the remedy.
    assert_eq!(get(&client, "/a").await.unwrap_err().kind, Kind::Tls);
}
