//! A server that sends a secret back does not make it readable in the sandbox.

use base64::{Engine, engine::general_purpose::STANDARD};
use egress::Stage;

use super::world::{HOST, OTHER, VALUE, World};

in_private_network! { "masking":
    a_reflected_value_is_masked_in_every_form
    an_answer_that_could_hide_a_value_is_refused
    the_server_is_asked_for_plain_bytes
    a_value_from_a_host_without_credentials_is_masked_in_text
}

/// The value in the forms in which the server sends it.
fn forms() -> [String; 4] {
    [
        VALUE.to_owned(),
        STANDARD.encode(format!("user:{VALUE}!")),
        hex::encode(VALUE),
        VALUE.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ]
}

async fn a_reflected_value_is_masked_in_every_form() {
    let world = World::new().await;
    let line = format!("Authorization: Bearer {}\r\n", world.placeholder);
    for path in ["/v1/raw", "/v1/base64", "/v1/hex", "/v1/url", "/v1/split", "/v1/header"] {
        let answer = world.get(HOST, path, &line).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("****"), "{path}: {answer}");
        for form in forms() {
            assert!(!answer.contains(&form), "{path}: {answer}");
        }
    }
    let answer = world.get(HOST, "/v1/raw", &line).await;
    // The length stays true.
    let length = format!("content-length: {}\r\n", "token=.".len() + VALUE.len());
    assert!(answer.contains(&length) && answer.ends_with(&format!("token={}.", "*".repeat(VALUE.len()))), "{answer}");
    assert!(world.servers.got().iter().all(|got| got.header("authorization") == [format!("Bearer {VALUE}")]));
}

async fn an_answer_that_could_hide_a_value_is_refused() {
    let world = World::new().await;
    let line = format!("Authorization: Bearer {}\r\nAccept-Encoding: gzip\r\n", world.placeholder);
    let answer = world.get(HOST, "/v1/compressed", &line).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("compressed") && !answer.contains(VALUE), "{answer}");
    let outcome = world.log.wait_for(Stage::Outcome, |_| true).await;
    assert_eq!(outcome.reason, Some("encoded"));
}

async fn the_server_is_asked_for_plain_bytes() {
    let world = World::new().await;
    let lines = "Accept-Encoding: gzip, br\r\nRange: bytes=0-4\r\nTE: gzip\r\n";
    world.get(HOST, "/v1/x", lines).await;
    world.get(OTHER, "/v1/x", lines).await;
    let got = world.servers.got();
    let of = |at: usize| ["accept-encoding", "range", "te"].map(|name| got[at].header(name).join(""));
    assert_eq!(of(0), ["identity", "", ""]);
    assert_eq!(of(1), ["gzip, br", "bytes=0-4", ""]);
}

async fn a_value_from_a_host_without_credentials_is_masked_in_text() {
    let world = World::new().await;
    // Somebody published the value there.
    let answer = world.get(OTHER, "/v1/raw", &format!("Authorization: Bearer {VALUE}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains(VALUE) && answer.contains("token=****"), "{answer}");
}
