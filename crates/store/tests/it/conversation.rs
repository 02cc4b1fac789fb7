//! Sessions, labels, messages and what of them is the context.

use std::sync::Arc;

use store::{MAX_TEXT, MessageKind, NewMessage, Store, StoreError};
use types::{Block, Event, Label, MessageId, Seq, Timestamp};

use crate::fixture::{NOON, TestClock, TestResult, new_message, new_session, store, workspace};

#[tokio::test]
async fn sessions_are_found_by_number_key_and_use() -> TestResult {
    let (store, clock) = store()?;
    let first = store.transact(|tx| tx.create_session(new_session(Some("main")))).await?;
    let second = store.transact(|tx| tx.create_session(new_session(None))).await?;
    assert_eq!(store.session_by_key("main")?.map(|session| session.id), Some(first));
    assert_eq!(store.session_by_key("other")?, None);
    let taken = store.transact(|tx| tx.create_session(new_session(Some("main")))).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");

    let ids = |store: &Store| -> Result<Vec<_>, StoreError> { Ok(store.sessions(9)?.iter().map(|s| s.id).collect()) };
    assert_eq!(ids(&store)?, [second, first]);
    clock.set(NOON + 1);
    store.transact(move |tx| tx.append_message(new_message(first, "hello"))).await?;
    assert_eq!(ids(&store)?, [first, second]);
    let session = store.session(first)?.ok_or("it is gone")?;
    assert_eq!((session.created_at, session.updated_at), (Timestamp(NOON), Timestamp(NOON + 1)));
    Ok(())
}

#[tokio::test]
async fn labels_only_rise_and_tell_when_they_do() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    for (label, expected) in [
        (Label::CLEAN, Label::CLEAN),
        (Label::OWNER, Label::OWNER),
        (Label::CLEAN, Label::OWNER),
        (Label::FOREIGN, Label::UNKNOWN),
        (Label::OWNER, Label::UNKNOWN),
    ] {
        assert_eq!(store.transact(move |tx| tx.raise_label(session, label, "a test")).await?, expected);
    }
    let events: Vec<Event> = store.events_after(Seq(0), None, 99)?.into_iter().map(|envelope| envelope.event).collect();
    let cause = "a test".to_owned();
    assert_eq!(
        events,
        [
            Event::LabelRaised { label: Label::OWNER, cause: cause.clone() },
            Event::LabelRaised { label: Label::UNKNOWN, cause },
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_message_raises_the_label_of_its_session() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let message = NewMessage { label: Label::FOREIGN, ..new_message(session, "from a web page") };
    store.transact(|tx| tx.append_message(message)).await?;
    assert_eq!(store.session(session)?.map(|session| session.label), Some(Label::FOREIGN));
    Ok(())
}

#[tokio::test]
async fn workspaces_begin_as_the_owners_and_rise() -> TestResult {
    let (store, _) = store()?;
    assert_eq!(store.workspace_label(&workspace())?, Label::OWNER);
    store.transact(|tx| tx.raise_workspace_label(workspace(), Label::CLEAN)).await?;
    assert_eq!(store.workspace_label(&workspace())?, Label::OWNER);
    store.transact(|tx| tx.raise_workspace_label(workspace(), Label::FOREIGN)).await?;
    assert_eq!(store.workspace_label(&workspace())?, Label::UNKNOWN);
    Ok(())
}

#[tokio::test]
async fn the_context_begins_with_the_last_summary() -> TestResult {
    let (store, _) = store()?;
    let (session, other) =
        store.transact(|tx| Ok((tx.create_session(new_session(None))?, tx.create_session(new_session(None))?))).await?;
    let ids = store
        .transact(move |tx| {
            tx.append_message(new_message(other, "elsewhere"))?;
            ["a", "b", "c"]
                .into_iter()
                .map(|text| tx.append_message(new_message(session, text)))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let texts = |store: &Store| -> Result<Vec<String>, StoreError> {
        Ok(store.context(session)?.iter().flat_map(|message| message.blocks.clone()).map(text).collect())
    };
    assert_eq!(texts(&store)?, ["a", "b", "c"]);
    let keep = ids[2];
    store.transact(move |tx| tx.compact(new_message(session, "S1"), Some(keep))).await?;
    assert_eq!(texts(&store)?, ["S1", "c"]);
    store.transact(move |tx| tx.append_message(new_message(session, "d"))).await?;
    assert_eq!(texts(&store)?, ["S1", "c", "d"]);
    let summary = NewMessage { kind: MessageKind::Summary, ..new_message(session, "S2") };
    store.transact(|tx| tx.append_message(summary)).await?;
    store.transact(move |tx| tx.append_message(new_message(session, "e"))).await?;
    assert_eq!(texts(&store)?, ["S2", "e"]);

    let page = store.messages(session, None, 2)?;
    assert_eq!(page.iter().flat_map(|message| message.blocks.clone()).map(text).collect::<Vec<_>>(), ["S2", "e"]);
    let before: Option<MessageId> = page.first().map(|message| message.id);
    let page = store.messages(session, before, 2)?;
    assert_eq!(page.iter().flat_map(|message| message.blocks.clone()).map(text).collect::<Vec<_>>(), ["S1", "d"]);
    Ok(())
}

fn text(block: Block) -> String {
    match block {
        Block::Text { text } => text,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_kind_of_block_comes_back_as_it_was() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let blocks = vec![
        Block::text("quotes \" and \0 and \u{1F980} and \r\n"),
        Block::Thinking { text: String::new(), signature: Some("c2ln".to_owned()), origin: "x".to_owned() },
        Block::RedactedThinking { data: "b3BhcXVl".to_owned(), origin: String::new() },
        Block::ToolUse {
            id: "1".to_owned(),
            name: "exec".to_owned(),
            input: serde_json::json!({"b": 1.5, "a": [null]}),
        },
        Block::ToolResult { call: "1".to_owned(), content: "out".to_owned(), is_error: true },
        Block::Opaque { origin: "x".to_owned(), item: serde_json::json!({"deep": {"er": 1}}) },
    ];
    let message = NewMessage { blocks: blocks.clone(), ..new_message(session, "") };
    store.transact(|tx| tx.append_message(message)).await?;
    assert_eq!(store.context(session)?.first().map(|message| &message.blocks), Some(&blocks));
    Ok(())
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_no_trace() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let huge = "x".repeat(MAX_TEXT + 1);
    let refused = store.transact(move |tx| tx.append_message(new_message(session, &huge))).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let huge = "x".repeat(100 << 20);
    let refused =
        store.transact(move |tx| tx.receive(crate::fixture::new_inbox(session, "1", &huge)).map(|_| ())).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.last_seq()?, Seq(0));
    let largest = "x".repeat(MAX_TEXT);
    store.transact(move |tx| tx.append_message(new_message(session, &largest))).await?;
    Ok(())
}

#[tokio::test]
async fn constraints_and_cursors_are_kept_once() -> TestResult {
    let (store, _) = store()?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    assert!(store.transact(move |tx| tx.add_constraint(session, "never push")).await?);
    assert!(!store.transact(move |tx| tx.add_constraint(session, "never push")).await?);
    assert!(store.transact(move |tx| tx.add_constraint(session, "ask first")).await?);
    assert_eq!(store.constraints(session)?, ["never push", "ask first"]);
    assert_eq!(store.cursor("offset")?, None);
    for value in ["1", "2"] {
        store.transact(move |tx| tx.set_cursor("offset", value)).await?;
        assert_eq!(store.cursor("offset")?.as_deref(), Some(value));
    }
    Ok(())
}

#[tokio::test]
async fn time_in_the_journal_never_goes_back() -> TestResult {
    let home = tempfile::tempdir()?;
    let clock = TestClock::new();
    let store = Store::open(home.path(), Arc::new(clock.clone()))?;
    let session = store.transact(|tx| tx.create_session(new_session(None))).await?;
    let say = |text: &'static str| store.transact(move |tx| tx.append_message(new_message(session, text)));
    say("noon").await?;
    clock.set(NOON - 3_600_000);
    say("an hour earlier").await?;
    store.close().await;
    let store = Store::open(home.path(), Arc::new(clock.clone()))?;
    store.transact(move |tx| tx.append_message(new_message(session, "after a restart"))).await?;
    clock.set(NOON + 5);
    store.transact(move |tx| tx.append_message(new_message(session, "later"))).await?;
    let times: Vec<i64> = store.context(session)?.iter().map(|message| message.at.0).collect();
    assert_eq!(times, [NOON, NOON, NOON, NOON + 5]);
    Ok(())
}

#[tokio::test]
async fn snapshots_are_listed_latest_first() -> TestResult {
    let (store, _) = store()?;
    for manifest in ["one", "two"] {
        store.transact(move |tx| tx.add_snapshot(workspace(), None, manifest)).await?;
    }
    let manifests: Vec<String> = store.snapshots(&workspace())?.into_iter().map(|row| row.manifest).collect();
    assert_eq!(manifests, ["two", "one"]);
    Ok(())
}
