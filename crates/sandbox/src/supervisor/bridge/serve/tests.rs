//! The bridge against a server that writes exactly what the test says.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests connect by themselves to servers of their own")]

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A bridge with its server.
struct Place {
    listener: TcpListener,
    lines: mpsc::Sender<String>,
    said: mpsc::Receiver<String>,
    running: JoinHandle<()>,
}

fn connect_to(port: u16) -> Connect {
    Arc::new(move || {
        Box::pin(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
            Ok(OwnedFd::from(stream.into_std().map_err(|error| error.to_string())?))
        })
    })
}

impl Place {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (out, said) = mpsc::channel(4);
        let (lines, serving) = bridge(connect_to(port), port, out);
        let running = tokio::spawn(serving);
        // The look whether anybody listens.
        drop(listener.accept().await.unwrap());
        Self { listener, lines, said, running }
    }

    async fn write(&self, line: Value) {
        self.lines.send(line.to_string()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.said.recv()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Takes a connection and reads the request from it.
    async fn request(&self) -> (TcpStream, String) {
        let (mut stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        let mut text = Vec::new();
        let length = |head: &str| {
            let field = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            field.map_or(0, |value| value.parse::<usize>().unwrap())
        };
        loop {
            text.push(stream.read_u8().await.unwrap());
            if text.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let mut body = vec![0; length(&String::from_utf8_lossy(&text))];
        stream.read_exact(&mut body).await.unwrap();
        text.extend(body);
        (stream, String::from_utf8(text).unwrap())
    }

    async fn end(self) {
        drop(self.lines);
        timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_request_is_made_and_answered() {
    let mut it = Place::new().await;
    let headers = json!({ "authorization": "Basic eA==" });
    it.write(json!({ "id": "7", "method": "POST", "path": "/session?x=1", "headers": headers, "body": { "a": [1] } }))
        .await;
    let (mut stream, text) = it.request().await;
    assert!(text.starts_with("POST /session?x=1 HTTP/1.1\r\n") && text.ends_with("\r\n\r\n{\"a\":[1]}"), "{text}");
    for field in ["host: 127.0.0.1:", "authorization: Basic eA==", "content-type: application/json"] {
        assert!(text.contains(field), "{text}");
    }
    let answer = "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"b\":\r\n3\r\n 2}\r\n0\r\n\r\n";
    for byte in answer.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(it.next().await, json!({ "id": "7", "status": 201, "body": { "b": 2 } }));
    it.write(json!({ "id": "8", "method": "GET", "path": "/x" })).await;
    let (mut stream, _) = it.request().await;
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\nno such thing").await.unwrap();
    drop(stream);
    assert_eq!(it.next().await, json!({ "id": "8", "status": 404, "body": "no such thing" }));
    it.end().await;
}

#[tokio::test]
async fn a_stream_of_events_is_passed_on_however_it_is_cut() {
    let mut it = Place::new().await;
    it.write(json!({ "id": "s", "method": "GET", "path": "/event", "stream": true })).await;
    let (mut stream, _) = it.request().await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    assert_eq!(it.next().await, json!({ "id": "s", "status": 200 }));
    for piece in [": hi\r\n\r", "\ndata: {\"n\"", ":1}\r\n\r\n", "event: x\ndata: plain\n", "\nda", "ta: [2]\n\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(it.next().await, json!({ "id": "s", "event": { "n": 1 } }));
    assert_eq!(it.next().await, json!({ "id": "s", "event": "plain", "name": "x" }));
    assert_eq!(it.next().await, json!({ "id": "s", "event": [2] }));
    // Others go on beside it, and the end of the server is seen.
    it.write(json!({ "id": "9", "method": "GET", "path": "/y" })).await;
    let (mut other, _) = it.request().await;
    other.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    assert_eq!(it.next().await, json!({ "id": "9", "status": 200, "body": {} }));
    drop(stream);
    let closed = it.next().await;
    assert!(closed["id"] == "s" && closed["closed"].is_string(), "{closed}");
    it.end().await;
}

#[tokio::test]
async fn a_stream_that_is_refused_is_answered_and_one_can_be_cancelled() {
    let mut it = Place::new().await;
    it.write(json!({ "id": "s", "method": "GET", "path": "/event", "stream": true })).await;
    let (mut stream, _) = it.request().await;
    stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(it.next().await, json!({ "id": "s", "status": 401, "body": null }));
    it.write(json!({ "id": "t", "method": "GET", "path": "/event", "stream": true })).await;
    let (mut stream, _) = it.request().await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert_eq!(it.next().await, json!({ "id": "t", "status": 200 }));
    it.write(json!({ "cancel": "t" })).await;
    assert_eq!(it.next().await, json!({ "id": "t", "closed": "it was cancelled" }));
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    it.end().await;
}

#[tokio::test]
async fn servers_that_die_drip_or_overdo_it_are_errors() {
    let mut it = Place::new().await;
    let mut failing = async |answer: Option<&[u8]>| {
        it.write(json!({ "id": "1", "method": "GET", "path": "/x", "timeout_s": 1 })).await;
        let (mut stream, _) = it.request().await;
        if let Some(answer) = answer {
            // It may be refused before it was taken as a whole.
            _ = stream.write_all(answer).await;
        }
        let keep = answer.is_some_and(|answer| answer.ends_with(b"drip")).then_some(stream);
        let said = it.next().await;
        drop(keep);
        said["error"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    failing(None).await;
    let late = failing(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndrip")).await;
    assert_eq!(late, "no answer within 1 seconds");
    assert_eq!(failing(Some(b"HTTP/1.1 200 OK\r\nx-drip: drip")).await, late);
    let broken = failing(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")).await;
    assert!(broken.contains("broke off"), "{broken}");
    failing(Some(b"SSH-2.0-x\r\n\r\n")).await;
    let fields = "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(3000);
    failing(Some(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes())).await;
    let large = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".as_slice(), &vec![b'x'; 4 << 20]].concat();
    let large = failing(Some(&large)).await;
    assert!(large.contains("more than"), "{large}");
    it.end().await;
}

#[tokio::test]
async fn too_many_at_once_and_what_cannot_be_asked_are_refused() {
    let mut it = Place::new().await;
    let mut streams = Vec::new();
    for id in 0..8 {
        it.write(json!({ "id": id.to_string(), "method": "GET", "path": "/x" })).await;
        streams.push(it.request().await.0);
    }
    it.write(json!({ "id": "ninth", "method": "GET", "path": "/x" })).await;
    assert_eq!(it.next().await, json!({ "id": "ninth", "error": "8 requests run already" }));
    it.write(json!({ "id": "3", "method": "GET", "path": "/x", "stream": true })).await;
    assert_eq!(it.next().await, json!({ "id": "3", "error": "a request with this id runs already" }));
    for bad in [
        json!({ "id": "b", "method": "GET", "path": "http://example.org/", "stream": true }),
        json!({ "id": "b", "method": "GET", "path": "/x y", "stream": true }),
        json!({ "id": "b", "method": "GET", "path": "/x", "headers": { "a\nb": "c" }, "stream": true }),
        json!({ "id": "b", "method": "GET", "path": "/x", "headers": { "a": "c\r\nd: e" }, "stream": true }),
        json!({ "id": "b", "method": "GE T", "path": "/x", "stream": true }),
        json!({ "id": "b", "method": "GET" }),
    ] {
        it.write(bad.clone()).await;
        let said = it.next().await;
        assert!(said["id"] == "b" && said["error"].is_string(), "{bad}: {said}");
    }
    it.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_listens_is_said_to() {
    let nobody: Connect = Arc::new(|| Box::pin(async { Err("refused".to_owned()) }));
    let (out, mut said) = mpsc::channel(4);
    let (lines, serving) = bridge(nobody, 4096, out);
    let running = tokio::spawn(serving);
    lines.send(json!({ "id": "1", "method": "GET", "path": "/x" }).to_string()).await.unwrap();
    let line = said.recv().await.unwrap();
    assert!(line.contains("did not listen on its port 4096"), "{line}");
    drop(lines);
    running.await.unwrap();
}
