//! Finding past conversations.

use serde_json::json;
use store::{Author, MessageKind, NewMessage};
use types::{Block, Label, Role};

use crate::bench::Bench;

async fn say(bench: &Bench, role: Role, author: Author, text: &str, label: Label) {
    let (session, text) = (bench.context.session, text.to_owned());
    let said = bench.store.transact(move |tx| {
        tx.append_message(NewMessage {
            session,
            turn: None,
            role,
            blocks: vec![Block::text(text)],
            author,
            label,
            kind: MessageKind::Normal,
        })
    });
    said.await.expect("the store is ours");
}

#[tokio::test]
async fn past_words_are_found_with_who_and_when() {
    let bench = Bench::new().await;
    say(&bench, Role::User, Author::Owner, "please pay the invoice of May", Label::OWNER).await;
    say(&bench, Role::Assistant, Author::Model, "nothing to do with it", Label::OWNER).await;
    let found = bench.call("search", json!({"query": "invoice"})).await;
    assert!(!found.is_error, "{}", found.text);
    let start = format!("2026-01-02 03:04 session {} owner: ", bench.context.session);
    assert!(found.text.starts_with(&start) && found.text.contains("invoice"), "{}", found.text);
    assert_eq!((found.text.lines().count(), found.label), (1, Label::OWNER));
    let none = bench.call("search", json!({"query": "\"zebra* OR NEAR("})).await;
    assert_eq!((none.is_error, none.text.as_str()), (false, "[nothing found; try other or fewer words]"));
}

#[tokio::test]
async fn what_is_found_keeps_its_label_and_stays_short() {
    let bench = Bench::new().await;
    for _ in 0..40 {
        say(&bench, Role::User, Author::Tool, &format!("invoice {}", "word ".repeat(500)), Label::FOREIGN).await;
    }
    let found = bench.call("search", json!({"query": "invoice", "limit": 40})).await;
    assert_eq!(found.label, Label::UNKNOWN, "foreign, and in the owner's own memory");
    assert!(found.text.len() < 13_000, "{}", found.text.len());
}
