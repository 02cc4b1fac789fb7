//! Going round in circles.

use serde_json::json;
use types::TurnEnd;

use crate::{
    model::{Reply, Script},
    world::World,
};

#[tokio::test]
async fn the_same_call_with_the_same_result_is_warned_of_and_then_ended() {
    let mut world = World::with(Script::brain(|_| Reply::Call(vec![("", "look", json!({"text": "again"}))]))).await;
    let end = world.say("look").await;
    assert_eq!(end, TurnEnd::Looping { repeated: "look: again".to_owned() });
    assert_eq!(world.runs().len(), 5);
    assert_eq!(world.requests.lock().unwrap().len(), 5);
    insta::assert_snapshot!(world.last_request());
    insta::assert_snapshot!("the_text_of_a_loop", world.last_text());
}

#[tokio::test]
async fn another_result_each_time_is_no_circle() {
    let mut world = World::with(Script::brain(|request| {
        if request.messages.len() > 30 {
            Reply::Say("Done.")
        } else {
            Reply::Call(vec![("", "count", json!({"text": "1"}))])
        }
    }))
    .await;
    assert_eq!(world.say("count").await, TurnEnd::Done);
}
