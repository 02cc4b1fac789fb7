//! The API over its socket and over TCP.
#![expect(clippy::disallowed_methods, reason = "tests speak to the API as any client does")]

use daemon::api::views::CanaryView;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use types::{Command, CommandReply, Event, FailureKind, Seq, WhenBusy};

use crate::scene::{Scene, options};

fn send(text: &str, session: Option<&str>, id: Option<&str>) -> Command {
    Command::Send {
        text: text.to_owned(),
        session: session.map(str::to_owned),
        workspace: None,
        when_busy: WhenBusy::Steer,
        id: id.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_message_is_answered_and_its_events_can_be_read_again() {
    let scene = Scene::start().await;
    let client = scene.client().await;
    let reply = client.command(&send("hello", None, Some("a"))).await.unwrap();
    let CommandReply::Accepted { session, since, duplicate: false, .. } = reply else { panic!("{reply:?}") };
    let mut live = client.events(since, Some(session)).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let envelope = live.next().await.unwrap().unwrap();
        let end = matches!(envelope.event, Event::TurnFinished { .. });
        seen.extend(envelope.seq.map(|seq| (seq, envelope.event)));
        if end {
            break;
        }
    }
    // Another reader gets the same, from the journal.
    let mut again = client.events(since, Some(session)).await.unwrap();
    for expected in &seen {
        let envelope = again.next().await.unwrap().unwrap();
        assert_eq!((envelope.seq.unwrap(), envelope.event), *expected);
    }
    assert!(matches!(seen[0].1, Event::MessageReceived { .. }), "{seen:?}");
    let twice = client.command(&send("hello", None, Some("a"))).await.unwrap();
    assert!(matches!(twice, CommandReply::Accepted { duplicate: true, .. }), "{twice:?}");
    assert_eq!(scene.model.asked().len(), 1);
    assert_eq!(client.messages(session).await.unwrap().len(), 2);
    assert!(scene.channel.texts().is_empty(), "an answer to the API went to a messenger");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn sessions_are_named_found_and_listed() {
    let scene = Scene::start().await;
    let client = scene.client().await;
    let session = |reply: CommandReply| match reply {
        CommandReply::Accepted { session, .. } => session,
        other => panic!("{other:?}"),
    };
    let main = session(client.command(&send("a", None, None)).await.unwrap());
    let named = session(client.command(&send("b", Some("work"), None)).await.unwrap());
    let again = session(client.command(&send("c", Some("work"), None)).await.unwrap());
    let fresh = session(client.command(&send("d", Some("new"), None)).await.unwrap());
    assert_eq!(named, again);
    assert!(main != named && named != fresh && main != fresh);
    let missing = client.command(&send("e", Some("99"), None)).await.unwrap_err();
    assert_eq!(missing.kind, FailureKind::User);
    let views = client.sessions().await.unwrap();
    assert_eq!(views.len(), 3);
    assert!(views.iter().any(|view| view.key.as_deref() == Some("main") && view.current));
    let status = client.status().await.unwrap();
    assert_eq!(status.address, scene.daemon.addr().to_string());
    assert!(matches!(status.canary, CanaryView::Running | CanaryView::Held { .. } | CanaryView::Failed { .. }));
    scene.daemon.stop().await;
}

/// One exchange over TCP; gives the whole answer.
async fn over_tcp(scene: &Scene, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(scene.daemon.addr()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/commands HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn tcp_needs_the_token_and_a_local_name() {
    let scene = Scene::start().await;
    let token = std::fs::read_to_string(scene.home.path().join("api.token")).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", token.trim());
    let get = |host: &str, headers: &str| {
        format!("GET /v1/health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
    };
    assert!(over_tcp(&scene, &get("127.0.0.1", "")).await.starts_with("HTTP/1.1 401"));
    assert!(over_tcp(&scene, &get("127.0.0.1", "authorization: Bearer wrong\r\n")).await.starts_with("HTTP/1.1 401"));
    assert!(over_tcp(&scene, &get("evil.example", &bearer)).await.starts_with("HTTP/1.1 403"));
    assert!(over_tcp(&scene, &get("localhost", &bearer)).await.starts_with("HTTP/1.1 200"));
    for origin in ["https://evil.example", "http://localhost:3000", "null", "http://localhost\r\norigin: http://evil"] {
        let foreign = get("localhost", &format!("{bearer}origin: {origin}\r\n"));
        assert!(over_tcp(&scene, &foreign).await.starts_with("HTTP/1.1 403"), "{origin}");
    }
    let own = get("localhost", &format!("{bearer}origin: http://localhost\r\n"));
    assert!(over_tcp(&scene, &own).await.starts_with("HTTP/1.1 200"));
    let two = get("localhost", &format!("{bearer}host: evil.example\r\n"));
    assert!(!over_tcp(&scene, &two).await.starts_with("HTTP/1.1 200"));
    let unknown = format!("GET /v2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{bearer}\r\n");
    assert!(over_tcp(&scene, unknown.as_bytes()).await.starts_with("HTTP/1.1 404"));
    scene.daemon.stop().await;
}

#[tokio::test]
async fn streams_and_connections_are_bounded_and_the_socket_still_answers() {
    let scene = Scene::start().await;
    let token = std::fs::read_to_string(scene.home.path().join("api.token")).unwrap();
    let request = format!(
        "GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        token.trim()
    );
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(scene.daemon.addr()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        open.push(stream);
    }
    let refused = over_tcp(&scene, request.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("64 event streams"), "{refused}");
    // Connections that say nothing: most of them wait outside.
    for _ in 0..150 {
        open.push(TcpStream::connect(scene.daemon.addr()).await.unwrap());
    }
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(descriptors < 64 + 150 + 128 + 64, "{descriptors} descriptors are open, both sides counted");
    assert!(scene.client().await.health().await.is_ok());
    drop(open);
    assert!(over_tcp(&scene, request.replace("events", "health").as_bytes()).await.starts_with("HTTP/1.1 200"));
    scene.daemon.stop().await;
}

#[tokio::test]
async fn bad_bodies_are_refused_with_their_reason() {
    let scene = Scene::start().await;
    let token = std::fs::read_to_string(scene.home.path().join("api.token")).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", token.trim());
    for (body, status, part) in [
        (b"{\"command\":\"send\",\"text\":\"caf\xe9\"}".to_vec(), "400", "not valid UTF-8"),
        (b"{\"command\":\"fly\"}".to_vec(), "400", "malformed"),
        (b"{\"command\":\"send\",\"text\":\" \"}".to_vec(), "400", "empty"),
        (format!("{{\"command\":\"send\",\"text\":\"{}\"}}", "x".repeat(70_000)).into_bytes(), "400", "64 KiB"),
        (vec![b'x'; 1 << 20], "413", "too large"),
    ] {
        let answer = over_tcp(&scene, &post(&bearer, &body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains(part), "{answer}");
    }
    assert_eq!(scene.client().await.health().await.unwrap().last_seq, Seq(0), "something was stored");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_second_daemon_and_a_taken_port_are_refused() {
    let scene = Scene::start().await;
    let second = daemon::Daemon::start(options(scene.home.path(), &scene.channel, &scene.model)).await;
    let failure = second.err().unwrap().failure();
    assert!(failure.error.contains(&std::process::id().to_string()), "{failure:?}");
    let other = tempfile::tempdir().unwrap();
    let mut options = options(other.path(), &scene.channel, &scene.model);
    let address = scene.daemon.addr();
    let text = format!("[api]\nlisten = \"{address}\"\n");
    options.config = Some(daemon::Config::parse(&text, std::path::Path::new("config.toml")).unwrap());
    let failure = daemon::Daemon::start(options).await.err().unwrap().failure();
    assert!(failure.error.contains(&address.to_string()), "{failure:?}");
    assert!(failure.hint.unwrap().contains("[api]"));
    scene.daemon.stop().await;
}
