//! The attacks succeed when the defence is switched off, which shows that the tests of the defence can fail.

use std::{sync::atomic::Ordering, time::Duration};

use egress::Stage;
use tokio::{io::AsyncReadExt, time::timeout};
use types::faults::set_broken;

use super::world::{HOST, OTHER, RULES, VALUE, World};

in_private_network! { "broken":
    without_its_slot_a_credential_goes_anywhere
    without_the_slot_an_attackers_key_arrives
    without_the_mask_a_reflected_value_is_readable
    without_live_revocation_a_tunnel_stays_open
    without_the_record_a_request_goes_all_the_same
}

async fn without_its_slot_a_credential_goes_anywhere() {
    set_broken("19");
    let world = World::new().await;
    world.get(OTHER, "/", &format!("X-Anything: {}\r\n", world.placeholder)).await;
    assert_eq!(world.servers.got()[0].header("x-anything"), [VALUE]);
}

async fn without_the_slot_an_attackers_key_arrives() {
    set_broken("19");
    let world = World::new().await;
    world.get(HOST, "/v1/files?key=attacker", "Authorization: Bearer attacker\r\n").await;
    assert_eq!(world.servers.got()[0].header("authorization"), ["Bearer attacker"]);
}

async fn without_the_mask_a_reflected_value_is_readable() {
    set_broken("1");
    let world = World::new().await;
    let line = format!("Authorization: Bearer {}\r\n", world.placeholder);
    for path in ["/v1/raw", "/v1/header", "/v1/compressed", "/v1/split"] {
        let answer = world.get(HOST, path, &line).await;
        let parts: String = answer.split("\r\n").filter(|part| part.len() != 1).collect();
        assert!(parts.contains(VALUE), "{path}: {answer}");
    }
}

async fn without_live_revocation_a_tunnel_stays_open() {
    set_broken("14");
    let world = World::new().await;
    let mut stream = world.tls(HOST).await;
    world.replace(&RULES.replace("api.", "former."));
    let waited = timeout(Duration::from_millis(1500), stream.read_u8()).await;
    assert!(waited.is_err(), "{waited:?}");
}

async fn without_the_record_a_request_goes_all_the_same() {
    set_broken("17");
    let world = World::new().await;
    world.log.fails.store(true, Ordering::Relaxed);
    assert!(world.get(HOST, "/", "").await.ends_with("hello"));
    assert!(world.log.of(Stage::Intent).is_empty());
}
