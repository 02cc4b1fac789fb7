//! Requests to models are looked through before a byte of them leaves, and refused as the vendor would refuse them.

use std::time::Duration;

use egress::{EgressRules, Limits, Stage};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{HOST, RULES, World, read_all};

in_private_network! { "models":
    what_asks_a_model_arrives_as_it_was_sent
    what_has_the_vendor_do_more_never_leaves
    what_cannot_be_looked_through_never_leaves
    many_that_never_end_keep_no_other_connection_waiting_for_good
}

async fn world() -> World {
    let world = World::with(RULES, Limits { idle: Duration::from_secs(2), ..Limits::default() }).await;
    world.change(RULES, |rules| {
        let asks_models = |rule: &egress::Rule| egress::Rule { asks_model: true, ..rule.clone() };
        EgressRules { rules: rules.rules.iter().map(asks_models).collect(), ..rules }
    });
    world
}

fn post(path: &str, lines: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         {lines}\r\n{body}",
        body.len()
    )
}

fn asking(more: &Value) -> String {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x".repeat(200_000) }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

async fn what_asks_a_model_arrives_as_it_was_sent() {
    let world = world().await;
    let body = asking(&json!({}));
    let authorization = format!("Authorization: Bearer {}\r\n", world.placeholder);
    let answer = world.ask(HOST, post("/v1/messages?beta=true", &authorization, &body)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let got = world.servers.got();
    assert!(got.len() == 1 && got[0].body == body.as_bytes() && got[0].path == "/v1/messages?beta=true");
    // In pieces, without a length.
    let pieces = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\ncontent-type: Application/JSON; charset=utf-8\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert!(world.ask(HOST, pieces).await.starts_with("HTTP/1.1 200"));
    assert_eq!(world.servers.got()[1].body, body.as_bytes());
    let outcome = world.log.wait_for(Stage::Outcome, |record| record.moved.up == body.len() as u64).await;
    assert_eq!(outcome.reason, None);
    assert!(world.get(HOST, "/v1/models", "").await.starts_with("HTTP/1.1 200"));
    world.stop().await;
}

async fn what_has_the_vendor_do_more_never_leaves() {
    let world = world().await;
    let fetches = asking(&json!({ "tools": [{ "type": "web_fetch_20250910", "name": "web_fetch" }] }));
    let answer = world.ask(HOST, post("/v1/messages", "", &fetches)).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("content-type: application/json"), "{answer}");
    let (_, error) = answer.split_once("\r\n\r\n").unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!("invalid_request_error")));
    assert!(error["error"]["message"].as_str().unwrap().contains("`web_fetch_20250910`"), "{error}");
    let kept = json!({ "model": "m", "input": "x", "tools": [] }).to_string();
    let answer = world.ask(HOST, post("/v1/responses", "", &kept)).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("`store`"), "{answer}");
    for (path, body) in [("/v1/files", "{}"), ("/v1/embeddings", "{}"), ("/v1/responses/r/cancel", "{}")] {
        let answer = world.ask(HOST, post(path, "", body)).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    for path in ["/v1/responses/resp_1", "/v1/files"] {
        assert!(world.get(HOST, path, "").await.starts_with("HTTP/1.1 403"), "{path}");
    }
    assert!(world.servers.got().is_empty() && world.log.of(Stage::Intent).is_empty());
    assert_eq!(world.log.of(Stage::Denied).len(), 7);
    assert!(world.log.of(Stage::Denied).iter().all(|record| record.reason == Some("model-request")));
    world.stop().await;
}

async fn what_cannot_be_looked_through_never_leaves() {
    let world = world().await;
    // Short, because it is answered before it was read.
    let body = json!({ "model": "m", "messages": [] }).to_string();
    for (lines, body) in [
        ("Content-Encoding: gzip\r\n", body.as_str()),
        ("Content-Encoding: identity, zstd\r\n", body.as_str()),
        ("Content-Type: application/json\r\n", body.as_str()),
        ("", "{\"model\":\"m\""),
        ("", ""),
        ("", "{\"model\":\"m\",\"model\":\"n\"}"),
    ] {
        let answer = world.ask(HOST, post("/v1/messages", lines, body)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{lines:?}: {answer}");
    }
    for kind in ["text/plain", "application/json; charset=utf-7", "application/json; profile=x", ""] {
        let typed = post("/v1/messages", "", &body).replace("application/json", kind);
        assert!(world.ask(HOST, typed).await.starts_with("HTTP/1.1 400"), "{kind}");
    }
    // One that says that it is too long is refused without being read.
    let long = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{{",
        64 << 20
    );
    assert!(world.ask(HOST, long).await.starts_with("HTTP/1.1 413"));
    assert!(world.servers.got().is_empty() && world.log.of(Stage::Intent).is_empty());
    world.stop().await;
}

async fn many_that_never_end_keep_no_other_connection_waiting_for_good() {
    let world = world().await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = world.tls(HOST).await;
        let head = post("/v1/messages", "", &asking(&json!({})));
        stream.write_all(&head.as_bytes()[..1_000]).await.unwrap();
        stream.flush().await.unwrap();
        silent.push(stream);
    }
    let mut last = world.tls(HOST).await;
    last.write_all(post("/v1/messages", "", &asking(&json!({}))).as_bytes()).await.unwrap();
    let mut first = [0; 12];
    // Each silent one ends with its patience.
    last.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    for mut stream in silent {
        let rest = read_all(&mut stream).await;
        assert!(!rest.starts_with("HTTP/1.1 200"), "{rest}");
    }
    world.stop().await;
}
