//! Programs that may only read fetch with git and send nothing else to what is called a fetch.

use egress::{EgressRules, Limits, Stage};
use miniz_oxide::deflate::compress_to_vec;

use super::world::{HOST, RULES, World};

in_private_network! { "fetching":
    what_git_asks_for_arrives_as_it_was_sent
    what_is_only_called_a_fetch_never_leaves
}

const PATH: &str = "/owner/repo.git/git-upload-pack";
const KIND: &str = "Content-Type: application/x-git-upload-pack-request\r\n";
/// A want, and the flush behind it.
const ASKED: &str = "0031want 11111111111111111111111111111111111111110000";

async fn world() -> World {
    let world = World::with(RULES, Limits::default()).await;
    world.change(RULES, EgressRules::reading);
    world
}

fn post(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &compress_to_vec(body, 6), &[0; 4], &size.to_le_bytes()].concat()
}

async fn what_git_asks_for_arrives_as_it_was_sent() {
    let world = world().await;
    let body = format!("{ASKED}0009done\n").into_bytes();
    assert!(world.ask(HOST, post(KIND, &body)).await.starts_with("HTTP/1.1 200"));
    let packed = gzip(&body);
    let lines = format!("{KIND}Content-Encoding: gzip\r\n");
    assert!(world.ask(HOST, post(&lines, &packed)).await.starts_with("HTTP/1.1 200"));
    // In pieces, as git sends what is longer than its buffer.
    let pieces = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{KIND}Transfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{ASKED}\r\n9\r\n0009done\n\r\n0\r\n\r\n",
        ASKED.len()
    );
    assert!(world.ask(HOST, pieces).await.starts_with("HTTP/1.1 200"));
    let got = world.servers.got();
    assert_eq!(got.iter().map(|got| got.body.as_slice()).collect::<Vec<_>>(), [&body[..], &packed, &body]);
    assert!(got[1].headers.iter().any(|(name, value)| name == "content-encoding" && value == "gzip"), "{got:?}");
    world.stop().await;
}

async fn what_is_only_called_a_fetch_never_leaves() {
    let world = world().await;
    let words = b"{\"title\":\"x\"}";
    let gzipped = format!("{KIND}Content-Encoding: gzip\r\n");
    let asked = ASKED.as_bytes();
    let cases: [(&str, Vec<u8>); 10] = [
        (KIND, words.to_vec()),
        (KIND, [asked, &words[..]].concat()),
        (KIND, Vec::new()),
        ("Content-Type: application/json\r\n", asked.to_vec()),
        ("", asked.to_vec()),
        (&format!("{KIND}{KIND}"), asked.to_vec()),
        (&gzipped, gzip(words)),
        (&gzipped, asked.to_vec()),
        (&format!("{KIND}Content-Encoding: br\r\n"), asked.to_vec()),
        (&format!("{gzipped}Content-Encoding: gzip\r\n"), gzip(asked)),
    ];
    for (lines, body) in &cases {
        let answer = world.ask(HOST, post(lines, body)).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("may only read"), "{lines}: {answer}");
    }
    // Refused by what it announces.
    let long =
        format!("POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{KIND}Content-Length: 9000000\r\n\r\n");
    let answer = world.ask(HOST, long).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(world.servers.got().is_empty(), "{:#?}", world.servers.got());
    let denied = world.log.of(Stage::Denied);
    assert!(
        denied.len() == cases.len() + 1 && denied.iter().all(|record| record.reason == Some("only-reads")),
        "{denied:?}"
    );
    assert!(world.log.of(Stage::Intent).is_empty());
    world.stop().await;
}
