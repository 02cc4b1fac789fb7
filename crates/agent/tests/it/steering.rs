//! Messages that arrive while a turn runs.

use serde_json::json;
use types::{Origin, TurnEnd, WhenBusy};

use crate::{model::Reply, world::World};

#[tokio::test]
async fn a_message_is_given_to_the_running_turn_at_its_next_step() {
    let mut world = World::new(vec![Reply::Call(vec![("a", "look", json!({"text": "1"}))]), Reply::Say("Done.")]).await;
    let turn = world.begin("work").await;
    world.receive("Also this, and never push.").await;
    world.receive_as("afterwards", WhenBusy::Queue, Origin::Owner).await;
    assert_eq!(world.run(turn).await, TurnEnd::Done);
    insta::assert_snapshot!(world.transcript());
    insta::assert_snapshot!("the_steered_request", world.last_request());
    let waiting = world.deps.store.waiting_inbox(world.session).unwrap();
    assert_eq!(waiting.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["afterwards"]);
    assert_eq!(world.deps.store.constraints(world.session).unwrap(), ["Also this, and never push."]);
}
