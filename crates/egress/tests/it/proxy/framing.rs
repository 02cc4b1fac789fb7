//! One reading of where a request ends: what two servers could understand differently does not go on as it came.

use egress::Stage;

use super::world::{HOST, World};

in_private_network! { "framing":
    a_smuggled_request_never_reaches_the_server
    malformed_heads_are_refused
    what_concerns_one_connection_stays_there
    no_header_makes_another_method_of_a_request
}

async fn a_smuggled_request_never_reaches_the_server() {
    let world = World::new().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let length = smuggled.len();
    for lines in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        "Content-Length: 0\r\nContent-Length: 44".to_owned(),
        "Content-Length: 0, 44".to_owned(),
        "Content-Length: +0".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: -1".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: \u{b}chunked".to_owned(),
        "X: y\r\n Transfer-Encoding: chunked".to_owned(),
    ] {
        // As chunked this body is empty, and the second request follows it.
        let head =
            format!("POST /first HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}\r\n\r\n0\r\n\r\n{smuggled}");
        world.ask(HOST, head).await;
        let got = world.servers.got();
        assert!(got.iter().all(|got| got.path == "/first"), "{lines}: {got:#?}");
        assert!(world.log.of(Stage::Intent).iter().all(|record| record.method == "POST"), "{lines}");
    }
}

async fn malformed_heads_are_refused() {
    let world = World::new().await;
    for head in [
        "GET /\0 HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: api.example.com\0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: api.example.com\r\nX:\0y\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: api.example.com\r\n folded: x\r\n\r\n".to_owned(),
        "GET / HTTP/3.0\r\nHost: api.example.com\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\rHost: api.example.com\r\n\r\n".to_owned(),
        "G\u{e9}T / HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: api.example.com\r\n{}\r\n", "X: y\r\n".repeat(200)),
        format!("GET / HTTP/1.1\r\nHost: api.example.com\r\nX: {}\r\n\r\n", "y".repeat(70_000)),
        format!("GET /{} HTTP/1.1\r\nHost: api.example.com\r\n\r\n", "y".repeat(70_000)),
    ] {
        let answer = world.ask(HOST, &head).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:.80}: {answer:.200}", head);
    }
    assert!(world.servers.got().is_empty(), "{:#?}", world.servers.got());
    // Bare line feeds are understood, and go on as whole line ends.
    assert!(
        world.ask(HOST, "GET /bare HTTP/1.1\nHost: api.example.com\nConnection: close\n\n").await.ends_with("hello")
    );
}

async fn what_concerns_one_connection_stays_there() {
    let world = World::new().await;
    let lines = "Connection: x-private, content-length, host\r\nX-Private: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
                 Trailer: a\r\nExpect: 100-continue\r\nProxy-Authorization: Basic x\r\nContent-Length: 2\r\n";
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}\r\nhi");
    let answer = world.ask(HOST, head).await;
    assert!(answer.ends_with("hello"), "{answer}");
    let got = &world.servers.got()[0];
    assert_eq!(got.body, b"hi");
    let names: Vec<&str> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in
        ["x-private", "keep-alive", "proxy-connection", "trailer", "expect", "proxy-authorization", "connection"]
    {
        assert!(!names.contains(&name), "{names:?}");
    }
}

async fn no_header_makes_another_method_of_a_request() {
    let world = World::new().await;
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let answer = world.get(HOST, "/", &format!("{name}: DELETE\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("another method"), "{answer}");
    }
    assert!(world.servers.got().is_empty(), "{:#?}", world.servers.got());
    let denied = world.log.of(Stage::Denied);
    assert!(denied.len() == 3 && denied.iter().all(|record| record.reason == Some("protocol")), "{denied:?}");
}
