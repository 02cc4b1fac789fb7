//! The door of the TCP API: a token that is replaced, and tokens that are guessed.
#![expect(clippy::disallowed_methods, reason = "tests speak to the API as any client does")]

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use types::{Command, Event, Seq};

use crate::scene::Scene;

fn token(scene: &Scene) -> String {
    std::fs::read_to_string(scene.home.path().join("api.token")).unwrap().trim().to_owned()
}

async fn ask(scene: &Scene, path: &str, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(scene.daemon.addr()).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn status(scene: &Scene, token: &str) -> u16 {
    let mut answer = [0; 12];
    ask(scene, "/v1/health", token).await.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

/// Opens a stream with the token and replaces it. Gives how long the stream lived on; none when it did.
async fn outlives(scene: &Scene) -> Option<Duration> {
    let old = token(scene);
    let mut stream = ask(scene, "/v1/events", &old).await;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let begun = Instant::now();
    scene.client().await.command(&Command::RotateToken).await.unwrap();
    assert_ne!(token(scene), old);
    assert_eq!(status(scene, &old).await, 401, "the old token is taken");
    assert_eq!(status(scene, &token(scene)).await, 200, "the new token is refused");
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
    end.is_ok().then(|| begun.elapsed())
}

#[tokio::test]
async fn a_token_that_was_replaced_is_dead_within_a_second_and_so_is_what_it_opened() {
    let scene = Scene::start().await;
    let lived = outlives(&scene).await.expect("the stream lives on");
    assert!(lived < Duration::from_secs(1), "{lived:?}");
    // The Unix socket has no token and goes on.
    assert!(scene.client().await.health().await.is_ok());
    scene.daemon.stop().await;
}

/// Without the defence the stream goes on: the test above would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_lets_old_streams_live() {
    let scene = Scene::start().await;
    types::faults::set_broken("14");
    assert_eq!(outlives(&scene).await, None);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn guessing_is_cut_off_recorded_in_few_records_and_told_once() {
    let scene = Scene::start().await;
    let client = scene.client().await;
    let mut events = client.events(Seq(0), None).await.unwrap();
    let mut answers = Vec::new();
    for number in 0..100 {
        answers.push(status(&scene, &format!("{number:064}")).await);
    }
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 10, "{answers:?}");
    assert!(answers[10..].iter().all(|status| *status == 429), "{answers:?}");
    assert_eq!(status(&scene, &token(&scene)).await, 429, "a guess that is right must not be looked at either");
    assert!(client.health().await.is_ok(), "the Unix socket is not affected");
    let alarm = tokio::time::timeout(Duration::from_secs(2), async {
        loop {
            if let Event::Notice { text, .. } = events.next().await.unwrap().unwrap().event {
                return text;
            }
        }
    });
    assert!(alarm.await.unwrap().contains("wrong tokens"));
    let is_login = |record: &&Value| record["kind"] == "login";
    let records = client.log(0).await.unwrap();
    assert_eq!(records.iter().filter(is_login).count(), 1, "{records:?}");
    scene.daemon.stop().await;
}

/// Without the defence everybody is let in: the tests of the door would fail.
#[cfg(feature = "faults")]
#[tokio::test]
async fn the_fault_switch_opens_the_door() {
    let scene = Scene::start().await;
    types::faults::set_broken("12");
    assert_eq!(status(&scene, "wrong").await, 200);
    scene.daemon.stop().await;
}
