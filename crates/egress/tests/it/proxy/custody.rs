//! The daemon dies and another one takes the door over: what programs trust and hold stays good, and who asked in between
//! is answered then.

use std::time::Duration;

use egress::Stage;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::world::{HOST, RULES, VALUE, World, read_all};

in_private_network! { "custody":
    who_asks_while_no_daemon_runs_waits_and_is_answered_by_the_next
    what_was_open_breaks_and_can_be_opened_again
    rules_and_secrets_of_now_hold
}

async fn who_asks_while_no_daemon_runs_waits_and_is_answered_by_the_next() {
    let mut world = World::new().await;
    world.get(HOST, "/v1/x", &format!("Authorization: Bearer {}\r\n", world.placeholder)).await;
    world.daemon_dies().await;
    let head = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut stream = world.dial().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let early = timeout(Duration::from_millis(300), waiting[0].read_u8()).await;
    assert!(early.is_err(), "nobody may answer: {early:?}");
    assert_eq!(world.servers.got().len(), 1);
    world.daemon_comes_back();
    let ask = format!(
        "GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        world.placeholder
    );
    for mut stream in waiting {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        // The client still trusts the authority that it knew from the start.
        let mut stream = world.shake(stream, HOST).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        assert!(read_all(&mut stream).await.ends_with("hello"));
    }
    let got = world.servers.got();
    assert_eq!(got.len(), 21);
    assert!(got.iter().all(|got| got.header("authorization") == [format!("Bearer {VALUE}")]));
    assert_eq!(world.log.of(Stage::Intent).len(), 21, "each is recorded");
}

async fn what_was_open_breaks_and_can_be_opened_again() {
    let mut world = World::new().await;
    let mut open = world.tls(HOST).await;
    world.daemon_dies().await;
    let end = timeout(Duration::from_secs(5), open.read_u8()).await.expect("a client must not hang");
    assert!(end.is_err());
    world.daemon_comes_back();
    assert!(world.get(HOST, "/", "").await.ends_with("hello"));
    world.stop().await;
}

async fn rules_and_secrets_of_now_hold() {
    let mut world = World::new().await;
    world.daemon_dies().await;
    world.replace(&RULES.replace("\"key\", ", ""));
    world.daemon_comes_back();
    let line = format!("Authorization: Bearer {}\r\n", world.placeholder);
    let refused = world.get(HOST, "/v1/x", &line).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    world.replace(RULES);
    assert!(world.get(HOST, "/v1/x", &line).await.ends_with("hello"));
    assert_eq!(world.servers.got().len(), 1);
}
