//! Answers that do not arrive: each gives the right kind of error, in time.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use providers::Api;
use serde_json::json;
use testkit::model::{Fault, Reply};
use tokio_util::sync::CancellationToken;
use types::{ModelEvent, ProviderErrorKind as Kind};

use crate::support::{ALL, Bench, KEY, hello};

async fn check(api: Api, fault: Fault, expected: Kind) {
    for stream in [true, false] {
        let reply = Reply::fault(fault.clone());
        let bench = Bench::replying(api, |config| config.stream = stream, vec![reply]).await;
        assert_eq!(bench.failure().await, expected, "{api:?} stream {stream} {fault:?}");
    }
}

#[tokio::test]
async fn statuses_have_kinds() {
    let expected = [
        (307, Kind::NotFound),
        (400, Kind::BadRequest),
        (401, Kind::Auth),
        (402, Kind::Quota),
        (403, Kind::Auth),
        (404, Kind::NotFound),
        (408, Kind::Timeout),
        (413, Kind::TooLarge),
        (422, Kind::BadRequest),
        (429, Kind::RateLimited),
        (500, Kind::Server),
        (502, Kind::Server),
        (503, Kind::Overloaded),
        (504, Kind::Timeout),
        (529, Kind::Overloaded),
    ];
    for api in ALL {
        for (code, kind) in expected {
            let bench = Bench::replying(api, |_| {}, vec![Reply::status(code)]).await;
            let error = bench.error(hello()).await;
            assert_eq!((error.kind, error.status), (kind, Some(code)), "{api:?}");
        }
    }
}

#[tokio::test]
async fn used_up_money_and_long_conversations_are_told_apart() {
    for api in ALL {
        check(api, Fault::ContextOverflow, Kind::ContextOverflow).await;
    }
    let status = |code, body| Fault::Status { code, retry_after: None, body: Some(body) };
    let no_credit = json!({"type": "error", "error": {
        "type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}});
    check(Api::Anthropic, status(400, no_credit), Kind::Quota).await;
    let no_quota = json!({"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "x"}});
    check(Api::OpenaiChat, status(429, no_quota), Kind::Quota).await;
}

#[tokio::test]
async fn waiting_times_are_passed_on() {
    for api in ALL {
        let fault = Fault::Status { code: 429, retry_after: Some("17".to_owned()), body: None };
        let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault)]).await;
        assert_eq!(bench.error(hello()).await.retry_after_ms, Some(17_000), "{api:?}");
        let date = "Fri, 01 Jan 2100 00:00:00 GMT".to_owned();
        let fault = Fault::Status { code: 503, retry_after: Some(date), body: None };
        let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault)]).await;
        assert!(bench.error(hello()).await.retry_after_ms > Some(1_000_000), "{api:?}");
    }
}

#[tokio::test]
async fn broken_connections_are_truncated_answers() {
    for api in ALL {
        for fault in [Fault::CutAfter(200), Fault::EndAfter(200), Fault::EndAfter(0)] {
            let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault.clone())]).await;
            assert_eq!(bench.failure().await, Kind::Truncated, "{api:?} {fault:?}");
        }
        check(api, Fault::CutAfter(100), Kind::Truncated).await;
    }
}

#[tokio::test]
async fn an_answer_without_its_last_event() {
    let fault = || vec![Reply::fault(Fault::NoLastEvent)];
    for api in [Api::Anthropic, Api::OpenaiResponses, Api::Gemini, Api::Ollama] {
        let bench = Bench::replying(api, |_| {}, fault()).await;
        assert_eq!(bench.failure().await, Kind::Truncated, "{api:?}");
    }
    // Chat has said why it stopped, so nothing is missing.
    let chat = Bench::replying(Api::OpenaiChat, |_| {}, fault()).await;
    assert_eq!(chat.reply(hello()).await.blocks.len(), 1);
}

#[tokio::test]
async fn what_is_no_answer_is_malformed() {
    for api in ALL {
        check(api, Fault::WrongContentType, Kind::Malformed).await;
        check(api, Fault::Compressed, Kind::Malformed).await;
        for fault in [Fault::MalformedJson, Fault::MalformedSse] {
            let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault.clone())]).await;
            assert_eq!(bench.failure().await, Kind::Malformed, "{api:?} {fault:?}");
        }
        let other = Fault::Status { code: 200, retry_after: None, body: Some(json!(["surprise"])) };
        check(api, other, Kind::Malformed).await;
    }
}

#[tokio::test]
async fn errors_inside_a_stream_are_errors() {
    for api in ALL {
        let cases = [
            ("overloaded_error", "Overloaded", Kind::Overloaded),
            ("rate_limit_error", "slow down", Kind::RateLimited),
            ("api_error", "Internal server error", Kind::Server),
            ("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", Kind::ContextOverflow),
        ];
        for (kind, message, expected) in cases {
            let fault = Fault::StreamError { kind: kind.to_owned(), message: message.to_owned() };
            let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault)]).await;
            // Ollama gives no kind, and these words say too little.
            let told = api != Api::Ollama || expected == Kind::ContextOverflow;
            assert_eq!(bench.failure().await, if told { expected } else { Kind::Server }, "{api:?} {kind}");
        }
    }
}

#[tokio::test]
async fn silence_ends_in_time() {
    for api in ALL {
        for fault in [Fault::Hang, Fault::HangAfter(300)] {
            let short = |config: &mut providers::ProviderConfig| {
                config.first_byte_ms = 150;
                config.idle_ms = 150;
            };
            let bench = Bench::replying(api, short, vec![Reply::fault(fault.clone())]).await;
            let started = Instant::now();
            assert_eq!(bench.failure().await, Kind::Timeout, "{api:?} {fault:?}");
            assert!(started.elapsed() < Duration::from_secs(2), "{api:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn signs_of_life_are_no_progress() {
    for api in ALL {
        let fault = Fault::OnlyPingsAfter { bytes: 600, every: Duration::from_millis(20) };
        let short = |config: &mut providers::ProviderConfig| {
            config.first_byte_ms = 200;
            config.idle_ms = 200;
        };
        let bench = Bench::replying(api, short, vec![Reply::fault(fault)]).await;
        let started = Instant::now();
        assert_eq!(bench.failure().await, Kind::Timeout, "{api:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{api:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_while_it_grows() {
    for api in ALL {
        let drip = Fault::SlowDrip { bytes: 100, every: Duration::from_millis(10) };
        let short = |config: &mut providers::ProviderConfig| config.idle_ms = 300;
        let bench = Bench::replying(api, short, vec![Reply::say("x".repeat(60)).with_fault(drip.clone())]).await;
        assert_eq!(bench.reply(hello()).await.blocks.len(), 1, "{api:?}");
        let tight = |config: &mut providers::ProviderConfig| config.total_ms = 60;
        let bench = Bench::replying(api, tight, vec![Reply::say("x".repeat(60)).with_fault(drip)]).await;
        assert_eq!(bench.failure().await, Kind::Timeout, "{api:?}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    for api in ALL {
        let bench = Bench::configured(
            api,
            // The port was free a moment ago, and loopback refuses at once.
            |config| config.base_url = format!("http://127.0.0.1:{}", free_port()),
            |_| Reply::say("never"),
        )
        .await;
        assert_eq!(bench.failure().await, Kind::Network, "{api:?}");
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_stop_takes_effect_at_once() {
    for api in ALL {
        for fault in [Fault::Hang, Fault::HangAfter(300)] {
            let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault.clone())]).await;
            let cancel = CancellationToken::new();
            let mut stream = bench.provider.stream(hello(), cancel.clone());
            let stop = async {
                tokio::time::sleep(Duration::from_millis(60)).await;
                cancel.cancel();
                Instant::now()
            };
            let read = async {
                let mut last = None;
                while let Some(event) = stream.next().await {
                    last = Some(event);
                }
                (last, Instant::now())
            };
            let (stopped, (last, ended)) = tokio::join!(stop, read);
            let Some(ModelEvent::Failed(error)) = last else { panic!("{last:?}") };
            assert_eq!(error.kind, Kind::Cancelled, "{api:?} {fault:?}");
            assert!(ended - stopped < Duration::from_millis(100), "{api:?} {fault:?} {:?}", ended - stopped);
        }
    }
}

#[tokio::test]
async fn a_missing_key_is_named_and_nothing_is_sent() {
    for api in ALL {
        let missing = |config: &mut providers::ProviderConfig| {
            config.key = Some(types::SecretName::new("other").unwrap());
        };
        let bench = Bench::replying(api, missing, vec![Reply::say("never")]).await;
        let error = bench.error(hello()).await;
        assert_eq!(error.kind, Kind::Auth);
        assert!(error.message.contains("factotum secret set other"), "{error}");
        assert_eq!(bench.server.request_count(), 0);
    }
}

#[tokio::test]
async fn a_vendor_that_repeats_the_key_does_not_spread_it() {
    for api in ALL {
        let body = json!({"error": {"type": "authentication_error", "message": format!("wrong key: {KEY}")}});
        let fault = Fault::Status { code: 401, retry_after: None, body: Some(body) };
        let bench = Bench::replying(api, |_| {}, vec![Reply::fault(fault)]).await;
        // `error` itself checks that the key is not in it.
        let error = bench.error(hello()).await;
        assert!(error.message.starts_with("wrong key: "), "{error}");
    }
}
