//! Several keys of one vendor: one that is refused or used up is followed by the next, within the same request.

use egress::SecretValue;
use providers::{Api, ProviderConfig};
use testkit::model::Reply;
use types::{ModelEvent, ProviderErrorKind as Kind, SecretName, Timestamp};

use crate::support::{ALL, Bench, KEY, hello};

/// A second key. It is a test's own.
const SECOND: &str = "second-key-9876543210";

fn two_keys(config: &mut ProviderConfig) {
    config.keys = vec![SecretName::new("second-key").unwrap()];
}

/// A vendor that answers the first key with this status, and any other key with words.
async fn refusing(api: Api, status: u16) -> Bench {
    let bench = Bench::configured(api, two_keys, move |seen| {
        let first = seen.headers.values().any(|value| value.contains(KEY));
        if first { Reply::status(status) } else { Reply::say("hello") }
    })
    .await;
    store_second(&bench);
    bench
}

fn store_second(bench: &Bench) {
    let name = SecretName::new("second-key").unwrap();
    bench.vault.set(&name, SecretValue::new(SECOND).unwrap(), Timestamp(0)).unwrap();
}

fn keys_seen(bench: &Bench) -> Vec<&'static str> {
    let which = |seen: &testkit::model::SeenRequest| {
        if seen.headers.values().any(|value| value.contains(KEY)) { "first" } else { "second" }
    };
    bench.server.requests().iter().map(which).collect()
}

#[tokio::test]
async fn the_next_key_goes_on_at_once_and_is_kept() {
    for api in ALL {
        for status in [401, 402, 429] {
            let bench = refusing(api, status).await;
            let events = bench.events(hello()).await;
            let restarts = events.iter().filter(|event| matches!(event, ModelEvent::Restarted { .. })).count();
            assert!(matches!(events.last(), Some(ModelEvent::Finished(_))), "{api:?} {status}: {events:?}");
            assert_eq!(restarts, 1, "{api:?} {status}: although only one try is allowed");
            bench.reply(hello()).await;
            assert_eq!(keys_seen(&bench), ["first", "second", "second"], "{api:?} {status}");
        }
    }
}

#[tokio::test]
async fn other_failures_are_not_the_keys() {
    let bench = refusing(Api::Anthropic, 500).await;
    assert_eq!(bench.failure().await, Kind::Server);
    assert_eq!(keys_seen(&bench), ["first"]);
}

#[tokio::test]
async fn when_all_are_out_the_gravest_is_told_and_nobody_is_asked() {
    let bench = Bench::configured(Api::OpenaiChat, two_keys, |seen| {
        let first = seen.headers.values().any(|value| value.contains(KEY));
        Reply::status(if first { 401 } else { 429 })
    })
    .await;
    store_second(&bench);
    bench.error(hello()).await;
    let error = bench.error(hello()).await;
    assert_eq!(error.kind, Kind::Auth, "{error}");
    assert!(error.message.contains("`lab-key`") && error.message.contains("`second-key`"), "{error}");
    assert!(!error.to_string().contains(SECOND), "{error}");
    assert_eq!(keys_seen(&bench), ["first", "second"], "the second request asked nobody");
}

#[tokio::test]
async fn a_key_with_another_value_is_tried_again() {
    let bench = Bench::configured(Api::Anthropic, two_keys, |seen| {
        let good = seen.headers.values().any(|value| value.contains("third-key"));
        if good { Reply::say("hello") } else { Reply::status(401) }
    })
    .await;
    store_second(&bench);
    assert_eq!(bench.failure().await, Kind::Auth);
    let name = SecretName::new("second-key").unwrap();
    bench.vault.set(&name, SecretValue::new("third-key-5555555555").unwrap(), Timestamp(7)).unwrap();
    bench.reply(hello()).await;
}
