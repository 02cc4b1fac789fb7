//! What a program may ask of its proxy is bounded, and one that goes too far harms only itself.

use std::time::{Duration, Instant};

use egress::{Limits, Stage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::world::{HOST, RULES, World, read_all};

in_private_network! { "limits":
    caps_cut_what_exceeds_them
    a_slow_head_and_a_slow_handshake_end
    a_silent_connection_ends
    a_changed_protocol_is_a_connection_like_any_other
    a_thousand_connections_wait_their_turn
}

fn short() -> Limits {
    Limits {
        handshake: Duration::from_millis(400),
        head_time: Duration::from_millis(400),
        idle: Duration::from_millis(900),
        ..Limits::default()
    }
}

async fn caps_cut_what_exceeds_them() {
    let world = World::new().await;
    world.replace(&RULES.replace("methods = [\"*\"]", "methods = [\"*\"]\nmax_up_kib = 1\nmax_down_kib = 100"));
    let body = "x".repeat(3000);
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n{body}");
    let answer = world.ask(HOST, head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
    assert!(world.servers.got().iter().all(|got| got.body.len() <= 1024), "{:?}", world.servers.got());
    world.log.wait_for(Stage::Outcome, |record| record.reason == Some("too-much")).await;
    let answer = world.get(HOST, "/large", "").await;
    assert!(answer.len() <= 110 * 1024, "{}", answer.len());
    let outcome = world.log.wait_for(Stage::Outcome, |record| record.status == Some(200)).await;
    assert_eq!(outcome.reason, Some("too-much"));
}

async fn a_slow_head_and_a_slow_handshake_end() {
    let world = World::with(RULES, short()).await;
    let begun = Instant::now();
    let mut slow = world.dial().await;
    let mut half = world.tunnel(&format!("{HOST}:443")).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut inner = world.tls(HOST).await;
    // One byte after the other, so that none of them is ever silent.
    let drip = async {
        for byte in b"GET / HTTP/1.1\r\nHost: api.example.com\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
            let _ = slow.write_all(&[*byte]).await;
            let _ = inner.write_all(&[*byte]).await;
            let _ = inner.flush().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(Duration::from_millis(1200), drip).await;
    timeout(Duration::from_secs(5), async {
        read_all(&mut slow).await;
        read_all(&mut inner).await;
        read_all(&mut half).await;
    })
    .await
    .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(world.servers.got().is_empty());
}

async fn a_silent_connection_ends() {
    let world = World::with(RULES, Limits { head_time: Duration::from_secs(60), ..short() }).await;
    for mut stream in [world.dial().await, world.tls(HOST).await.into_inner().0] {
        let begun = Instant::now();
        read_all(&mut stream).await;
        assert!(begun.elapsed() < Duration::from_millis(1400), "{:?}", begun.elapsed());
    }
}

async fn a_thousand_connections_wait_their_turn() {
    let world = World::with(RULES, Limits { connections: 16, ..short() }).await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        // What does not fit into the kernel's queue is not let in at all.
        match timeout(Duration::from_millis(20), world.dial()).await {
            Ok(stream) => idle.push(stream),
            Err(_) => break,
        }
    }
    assert!(idle.len() > 100, "{}", idle.len());
    drop(idle);
    // They are gone, and the proxy serves on.
    let answer = timeout(Duration::from_secs(30), world.get(HOST, "/", "")).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

async fn a_changed_protocol_is_a_connection_like_any_other() {
    let rules = RULES.replace("methods = [\"*\"]", "methods = [\"*\"]\nupgrade = true");
    let world =
        World::with(&rules, Limits { connections: 1, idle: Duration::from_millis(900), ..Limits::default() }).await;
    let head = format!("GET /upgrade HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let mut stream = world.tls(HOST).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    let begun = Instant::now();
    // There is one place, and it is taken until the silence ends it.
    let answer = world.get(HOST, "/", "").await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(begun.elapsed() > Duration::from_millis(700), "{:?}", begun.elapsed());
    world.log.wait_for(Stage::Outcome, |record| record.status == Some(101)).await;
}
