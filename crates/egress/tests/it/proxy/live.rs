//! A change of the rules or of the vault acts on what is open, within a second.

use std::time::{Duration, Instant};

use egress::Stage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{HOST, RULES, World, name};

in_private_network! { "live":
    a_tunnel_that_is_no_longer_allowed_is_closed
    a_request_that_is_no_longer_allowed_is_cut
    a_request_whose_secret_is_gone_is_cut
    a_change_that_allows_it_still_closes_nothing
}

const WITHOUT: &str = "[[rules]]\nhost = 'other.example.com'\nmethods = ['*']";

/// Opens a tunnel in which an answer goes on and on.
async fn endless(world: &World, path: &str, line: &str) -> impl AsyncReadExt + AsyncWriteExt + Unpin + use<> {
    let mut stream = world.tls(HOST).await;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{line}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b".\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

/// How long it takes until nothing more comes.
async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let begun = Instant::now();
    let mut buffer = [0; 1024];
    while begun.elapsed() < Duration::from_secs(3) && matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    begun.elapsed()
}

async fn a_tunnel_that_is_no_longer_allowed_is_closed() {
    let world = World::new().await;
    let mut idle = world.tls(HOST).await;
    world.replace(WITHOUT);
    let took = until_closed(&mut idle).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

async fn a_request_that_is_no_longer_allowed_is_cut() {
    let world = World::new().await;
    let mut stream = endless(&world, "/slow", "").await;
    // The host stays allowed, the path does not.
    world.replace(&RULES.replacen("methods = [\"*\"]", "methods = [\"*\"]\npaths = [\"/v1/**\"]", 1));
    let took = until_closed(&mut stream).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    world.log.wait_for(Stage::Outcome, |record| record.status == Some(200)).await;
}

async fn a_request_whose_secret_is_gone_is_cut() {
    let world = World::new().await;
    let settings = egress::SecretSettings {
        bindings: Some(vec![egress::Binding::to(HOST).unwrap()]),
        ..egress::SecretSettings::default()
    };
    world.vault.configure(&name("key"), settings).unwrap();
    let mut stream = endless(&world, "/slow", &format!("Authorization: Bearer {}\r\n", world.placeholder)).await;
    world.vault.remove(&name("key")).unwrap();
    let took = until_closed(&mut stream).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

async fn a_change_that_allows_it_still_closes_nothing() {
    let world = World::new().await;
    let mut stream = endless(&world, "/slow", "").await;
    world.replace(&RULES.replace("plain_http = true", ""));
    assert!(until_closed(&mut stream).await >= Duration::from_secs(3));
}
