//! Failures that pass: tried again, bounded, and told to the reader.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use providers::Api;
use testkit::model::{Fault, Reply};
use tokio_util::sync::CancellationToken;
use types::{Block, ModelEvent, ProviderErrorKind as Kind};

use crate::support::{ALL, Bench, hello, streamed_text};

fn restarts(events: &[ModelEvent]) -> Vec<(u32, Kind)> {
    let restarts = events.iter().filter_map(|event| match event {
        ModelEvent::Restarted { attempt, error, .. } => Some((*attempt, error.kind)),
        ModelEvent::TextDelta(_)
        | ModelEvent::ThinkingDelta(_)
        | ModelEvent::ToolUseStarted { .. }
        | ModelEvent::Finished(_)
        | ModelEvent::Failed(_) => None,
    });
    restarts.collect()
}

#[tokio::test]
async fn passing_failures_are_survived() {
    for api in ALL {
        let replies = vec![
            Reply::status(529),
            Reply::fault(Fault::EndAfter(400)),
            Reply::fault(Fault::StreamError { kind: "overloaded_error".to_owned(), message: String::new() }),
            Reply::fault(Fault::MalformedJson),
            Reply::say("at last"),
        ];
        let bench = Bench::replying(api, |config| config.attempts = 5, replies).await;
        let events = bench.events(hello()).await;
        // Ollama gives errors no kind.
        let inside = if api == Api::Ollama { Kind::Server } else { Kind::Overloaded };
        let expected = [(2, Kind::Overloaded), (3, Kind::Truncated), (4, inside), (5, Kind::Malformed)];
        assert_eq!(restarts(&events), expected, "{api:?}");
        assert_eq!(streamed_text(&events), "at last");
        let Some(ModelEvent::Finished(reply)) = events.last() else { panic!("{events:?}") };
        assert_eq!(reply.blocks, [Block::text("at last")]);
    }
}

#[tokio::test]
async fn tries_are_bounded() {
    for api in ALL {
        let bench = Bench::replying(api, |config| config.attempts = 3, vec![Reply::status(500)]).await;
        let events = bench.events(hello()).await;
        assert_eq!(restarts(&events), [(2, Kind::Server), (3, Kind::Server)], "{api:?}");
        assert_eq!(bench.server.request_count(), 3);
    }
}

#[tokio::test]
async fn lasting_failures_are_not_repeated() {
    for api in ALL {
        for reply in [Reply::status(401), Reply::status(402), Reply::status(400), Reply::fault(Fault::ContextOverflow)]
        {
            let bench = Bench::replying(api, |config| config.attempts = 5, vec![reply]).await;
            assert_eq!(restarts(&bench.events(hello()).await), []);
            assert_eq!(bench.server.request_count(), 1, "{api:?}");
        }
    }
}

#[tokio::test]
async fn the_vendors_wait_is_kept_or_passed_on() {
    for api in ALL {
        let wait =
            |text: &str| Reply::fault(Fault::Status { code: 429, retry_after: Some(text.to_owned()), body: None });
        let bench = Bench::replying(api, |config| config.attempts = 5, vec![wait("0.2"), Reply::say("x")]).await;
        let started = Instant::now();
        let events = bench.events(hello()).await;
        assert_eq!(restarts(&events), [(2, Kind::RateLimited)]);
        assert!(started.elapsed() >= Duration::from_millis(200), "{api:?}");
        let bench = Bench::replying(api, |config| config.attempts = 5, vec![wait("61"), Reply::say("x")]).await;
        let error = bench.error(hello()).await;
        assert_eq!((error.kind, error.retry_after_ms), (Kind::RateLimited, Some(61_000)), "{api:?}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_wait() {
    for api in ALL {
        let reply = Reply::fault(Fault::Status { code: 429, retry_after: Some("30".to_owned()), body: None });
        let bench = Bench::replying(api, |config| config.attempts = 5, vec![reply]).await;
        let cancel = CancellationToken::new();
        let mut stream = bench.provider.stream(hello(), cancel.clone());
        assert!(matches!(stream.next().await, Some(ModelEvent::Restarted { .. })));
        cancel.cancel();
        let started = Instant::now();
        let Some(ModelEvent::Failed(error)) = stream.next().await else { panic!("no end") };
        assert_eq!(error.kind, Kind::Cancelled);
        assert!(started.elapsed() < Duration::from_millis(100), "{api:?}");
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test]
async fn what_a_failed_try_used_is_reported() {
    let bench = Bench::replying(
        Api::Anthropic,
        |config| config.attempts = 2,
        vec![Reply::say("long ".repeat(50)).with_fault(Fault::EndAfter(900)), Reply::say("x")],
    )
    .await;
    let events = bench.events(hello()).await;
    let wasted = events.iter().find_map(|event| match event {
        ModelEvent::Restarted { wasted, .. } => Some(*wasted),
        _ => None,
    });
    assert!(wasted.is_some_and(|usage| usage.context() > 0), "{events:?}");
}
