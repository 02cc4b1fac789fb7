//! Turns in which nothing goes wrong.

use serde_json::json;
use types::{Block, ModelEvent, StopReason, TurnEnd};

use crate::{
    model::{Reply, finished},
    world::{World, waits},
};

#[tokio::test]
async fn a_simple_answer() {
    let mut world = World::new(vec![Reply::Say("Hello yourself.")]).await;
    assert_eq!(world.say("hello").await, TurnEnd::Done);
    insta::assert_snapshot!(world.transcript());
    insta::assert_snapshot!("a_simple_request", world.last_request());
    assert_eq!(world.last_text(), "Hello yourself.");
}

#[tokio::test]
async fn a_second_turn_keeps_the_first_as_its_prefix() {
    let mut world = World::new(vec![Reply::Say("One."), Reply::Say("Two.")]).await;
    world.say("first").await;
    let before = world.last_request();
    world.clock.forward(std::time::Duration::from_secs(3_600));
    world.say("second").await;
    assert!(world.last_request().starts_with(&before), "{}", world.last_request());
    insta::assert_snapshot!(world.last_request());
}

#[tokio::test]
async fn reading_calls_run_together_and_writing_ones_in_order() {
    let calls = vec![
        ("a", "look", json!({"text": "1"})),
        ("b", "look", json!({"text": "2"})),
        ("c", "write", json!({"text": "3"})),
        ("d", "fail", json!({"text": "4"})),
        ("e", "look", json!({"text": "5"})),
    ];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Done.")]).await;
    assert_eq!(world.say("work").await, TurnEnd::Done);
    // Which of the two that run together is first is chance.
    let mut lines: Vec<String> = world.transcript().lines().map(str::to_owned).collect();
    lines[5..9].sort();
    insta::assert_snapshot!(lines.join("\n"));
    insta::assert_snapshot!("results_in_source_order", world.last_request());
    assert_eq!(world.runs()[2..], ["write 3", "fail 4", "look 5"]);
    assert_eq!(*world.saved.lock().unwrap(), 1);
}

#[tokio::test]
async fn at_most_eight_run_together() {
    const IDS: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let calls = IDS.map(|id| (id, "together", json!({ "text": id }))).to_vec();
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Done.")]).await;
    let turn = world.begin("work").await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    let calls = world.deps.store.calls(turn).unwrap();
    let beside = calls.iter().map(|record| record.output.as_ref().unwrap().text.parse::<u32>().unwrap());
    assert_eq!(beside.max(), Some(8));
}

#[tokio::test]
async fn without_a_saved_workspace_nothing_is_written() {
    let calls = vec![("a", "write", json!({"text": "1"})), ("b", "look", json!({"text": "2"}))];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("It failed.")]).await;
    world.deps.before_write = std::sync::Arc::new(|_, _| Box::pin(async { Err("the disk is full".to_owned()) }));
    assert_eq!(world.say("work").await, TurnEnd::Done);
    assert_eq!(world.runs(), ["look 2"]);
    assert!(world.last_request().contains("nothing was done, because the workspace could not be saved before"));
}

#[tokio::test]
async fn a_monstrous_answer_counts_as_cut_off() {
    let text = "x".repeat(2_000_000);
    let monster = vec![finished(vec![Block::text(text)], StopReason::EndTurn)];
    let mut world = World::new(vec![Reply::Events(monster), Reply::Say(" The end.")]).await;
    assert_eq!(world.say("work").await, TurnEnd::Done);
    assert!(world.last_text().ends_with("x The end."));
    assert!(world.last_text().len() < 110_000);
}

#[tokio::test]
async fn mistakes_go_back_to_the_model() {
    let calls = vec![
        ("a", "nothing", json!({})),
        ("b", "look", json!({})),
        ("c", "write", json!("{\"text\": broken")),
        ("d", "broken", json!({"text": "x"})),
    ];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Sorry.")]).await;
    assert_eq!(world.say("work").await, TurnEnd::Done);
    insta::assert_snapshot!(world.last_request());
    assert_eq!(world.runs(), ["broken x"]);
}

#[tokio::test]
async fn long_output_is_cut_in_the_middle_and_secrets_are_masked() {
    let calls = vec![("a", "flood", json!({"text": "x"})), ("b", "look", json!({"text": "it is hunter22"}))];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("The word is hunter22.")]).await;
    world.say("my password is hunter22").await;
    let request = world.last_request();
    assert!(!request.contains("hunter22"), "{request}");
    assert!(request.contains("[... 68000 characters left out ...]"));
    assert!(request.len() < 40_000);
    assert_eq!(world.last_text(), "The word is [secret pass].");
    let transcript = world.transcript();
    // The inbox keeps what the owner wrote; nothing that comes after may.
    let after: Vec<&str> = transcript.lines().filter(|line| !line.contains("message_received")).collect();
    assert!(!after.join("\n").contains("hunter22"), "{after:#?}");
}

#[tokio::test]
async fn progress_is_shown_masked() {
    let calls = vec![("a", "progress", json!({"text": "x"}))];
    let mut world = World::new(vec![Reply::Call(calls), Reply::Say("Done.")]).await;
    world.say("work").await;
    let transcript = world.transcript();
    let shown: Vec<&str> = transcript.lines().filter(|line| line.contains("tool_progress")).collect();
    assert!(!shown.is_empty() && !shown.concat().contains("hunter22"), "{shown:#?}");
    assert!(shown.concat().contains("[secret pass] second"), "{shown:#?}");
}

#[tokio::test]
async fn a_simple_turn_waits_for_the_disk_twice() {
    // The model answers at once, so that every wait is one for a commit. The third is that of the received message.
    let mut world = World::new(vec![Reply::Say("Hello.")]).await;
    let inbox = world.receive("hello").await;
    let (turn, count) = waits(agent::begin(&world.deps, world.new_turn(vec![inbox], types::Origin::Owner))).await;
    assert!(count <= 1, "{count}");
    let (end, count) = waits(world.run(turn.unwrap())).await;
    assert_eq!(end, TurnEnd::Done);
    assert!(count <= 1, "{count}");
}

#[tokio::test]
async fn ids_that_repeat_are_made_unique() {
    let script = vec![
        Reply::Call(vec![("x", "write", json!({"text": "1"})), ("x", "write", json!({"text": "2"}))]),
        Reply::Call(vec![("x", "write", json!({"text": "3"})), ("", "write", json!({"text": "4"}))]),
        Reply::Say("Done."),
    ];
    let mut world = World::new(script).await;
    assert_eq!(world.say("work").await, TurnEnd::Done);
    assert_eq!(world.runs(), ["write 1", "write 2", "write 3", "write 4"]);
    insta::assert_snapshot!(world.last_request());
}

#[tokio::test]
async fn thinking_is_replayed_verbatim_and_a_retry_voids_what_was_said() {
    let thinking = Block::Thinking { text: "hm".to_owned(), signature: Some("sig".to_owned()), origin: "x".to_owned() };
    let opaque = Block::Opaque { origin: "x".to_owned(), item: json!({"a": 1}) };
    let call = Block::ToolUse { id: "a".to_owned(), name: "look".to_owned(), input: json!({"text": "1"}) };
    let script = vec![
        Reply::Events(vec![
            ModelEvent::ThinkingDelta("hm".to_owned()),
            ModelEvent::TextDelta("void".to_owned()),
            ModelEvent::Restarted {
                attempt: 2,
                wait: std::time::Duration::from_millis(5),
                error: types::ProviderError::new(types::ProviderErrorKind::Overloaded, "busy"),
                wasted: crate::model::USAGE,
            },
            ModelEvent::ToolUseStarted { name: "look".to_owned() },
            finished(vec![thinking, opaque, call], StopReason::ToolUse),
        ]),
        Reply::Say("Done."),
    ];
    let mut world = World::new(script).await;
    let turn = world.begin("work").await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    insta::assert_snapshot!(world.transcript());
    insta::assert_snapshot!("thinking_is_replayed", world.last_request());
    // The wasted attempt is paid for: three times 100 in and 10 out.
    assert_eq!(world.spent(turn).usage.input, 300);
}
