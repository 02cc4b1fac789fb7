//! Asking the owner.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use types::{Answer, Ask, Label};

use crate::bench::Bench;

/// Waits until a question is open.
async fn open(bench: &Bench) -> types::OwnerRequest {
    for _ in 0..200 {
        if let Some(request) = bench.store.open_requests().expect("it can be read").into_iter().next() {
            return request;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no question was put");
}

async fn answer(bench: &Bench, answer: Answer) {
    let id = open(bench).await.id;
    bench.store.transact(move |tx| tx.answer(id, answer, None)).await.expect("the store is ours");
}

#[tokio::test]
async fn the_owner_is_asked_and_answers() {
    let bench = Bench::new().await;
    let input = json!({"question": "Which colour?", "options": ["red", "green"]});
    let (output, ()) = tokio::join!(bench.call("ask", input), async {
        let request = open(&bench).await;
        let options = vec!["red".to_owned(), "green".to_owned()];
        assert_eq!(request.ask, Ask::Question { text: "Which colour?".to_owned(), options });
        answer(&bench, Answer::Text { text: "blue".to_owned() }).await;
    });
    assert_eq!((output.text.as_str(), output.is_error), ("the owner answered: blue", false));
    assert_eq!(output.label, Label::OWNER);
}

#[tokio::test]
async fn other_answers_are_put_into_words() {
    for (given, words, is_error) in [
        (Answer::Denied, "declined", false),
        (Answer::Withdrawn, "withdrawn", true),
        (Answer::Expired, "nobody answered", true),
    ] {
        let bench = Bench::new().await;
        let call = bench.call("ask", json!({"question": "May I?"}));
        let (output, ()) = tokio::join!(call, answer(&bench, given));
        assert!(output.text.contains(words), "{}", output.text);
        assert_eq!(output.is_error, is_error, "{words}");
    }
}

#[tokio::test]
async fn a_question_is_put_once_even_if_the_call_runs_again() {
    let bench = Bench::new().await;
    let input = json!({"question": "Which?"});
    tokio::select! {
        output = bench.call("ask", input.clone()) => panic!("nobody answered, yet it said {}", output.text),
        _ = open(&bench) => {}
    }
    // As after a restart: the same call is run again.
    let (output, ()) = tokio::join!(bench.call("ask", input.clone()), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.store.open_requests().expect("it can be read").len(), 1, "it must not be put twice");
        answer(&bench, Answer::Text { text: "that".to_owned() }).await;
    });
    assert_eq!(output.text, "the owner answered: that");
    // The answer is still there for a third run.
    assert_eq!(bench.call("ask", input).await.text, "the owner answered: that");
    assert_eq!(bench.store.open_requests().expect("it can be read").len(), 0);
}

#[tokio::test]
async fn a_question_whose_time_passed_during_a_restart_expires() {
    let bench = Bench::new().await;
    let input = json!({"question": "Which?"});
    tokio::select! {
        output = bench.call("ask", input.clone()) => panic!("nobody answered, yet it said {}", output.text),
        _ = open(&bench) => {}
    }
    bench.clock.0.fetch_add(25 * 3_600_000, Ordering::Relaxed);
    let output = bench.call("ask", input).await;
    assert!(output.is_error && output.text.contains("nobody answered"), "{}", output.text);
    assert_eq!(bench.store.open_requests().expect("it can be read").len(), 0);
}

#[tokio::test]
async fn stopping_ends_the_wait_at_once_and_leaves_the_question_open() {
    let bench = Bench::new().await;
    let (output, ()) = tokio::join!(bench.call("ask", json!({"question": "Which?"})), async {
        open(&bench).await;
        bench.context.cancel.cancel();
    });
    assert!(output.is_error && output.text.contains("stopped"), "{}", output.text);
    assert_eq!(bench.store.open_requests().expect("it can be read").len(), 1);
}
