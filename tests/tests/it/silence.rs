//! Strangers, groups, bots, edits and forwards get silence: no bytes out, no model call.

use std::time::Duration;

use harness::{Factotum, home::OWNER, job::Job};
use serde_json::{Value, json};

const STRANGER: i64 = 666;

fn private(user: i64, extra: Value) -> Value {
    let mut message = json!({
        "message_id": 1,
        "date": 1_700_000_000,
        "from": { "id": user, "is_bot": false, "first_name": "Ann" },
        "chat": { "id": user, "type": "private", "first_name": "Ann" },
        "text": "fix the failing tests",
    });
    for (key, value) in extra.as_object().unwrap() {
        message[key] = value.clone();
    }
    message
}

fn updates() -> Vec<(&'static str, Value)> {
    let group = |id: i64| json!({ "id": -100, "type": "supergroup", "title": "Group" , "all": id });
    let callback = |user: i64, data: &str| {
        json!({ "callback_query": { "id": "77", "chat_instance": "1", "data": data,
            "from": { "id": user, "is_bot": false, "first_name": "Ann" },
            "message": private(OWNER, json!({})) } })
    };
    vec![
        ("a stranger", json!({ "message": private(STRANGER, json!({})) })),
        (
            "a stranger with the owner's name",
            json!({ "message": private(STRANGER, json!({
            "from": { "id": STRANGER, "is_bot": false, "first_name": "Owner", "username": "owner" } })) }),
        ),
        ("a stranger's command", json!({ "message": private(STRANGER, json!({ "text": "/start" })) })),
        ("the owner in a group", json!({ "message": private(OWNER, json!({ "chat": group(1) })) })),
        ("a stranger in a group", json!({ "message": private(STRANGER, json!({ "chat": group(2) })) })),
        ("an edited message", json!({ "edited_message": private(OWNER, json!({ "edit_date": 1_700_000_001 })) })),
        (
            "a forwarded message",
            json!({ "message": private(OWNER, json!({
            "forward_origin": { "type": "hidden_user", "sender_user_name": "x", "date": 1 } })) }),
        ),
        (
            "a bot",
            json!({ "message": private(OWNER, json!({
            "from": { "id": OWNER, "is_bot": true, "first_name": "Bot" } })) }),
        ),
        (
            "a channel post",
            json!({ "channel_post": { "message_id": 5, "date": 1, "text": "hi",
            "chat": { "id": -7, "type": "channel", "title": "C" } } }),
        ),
        ("a callback of a stranger", callback(STRANGER, "y0123456789abcdef")),
        ("a callback with a nonce nobody gave", callback(OWNER, "yffffffffffffffffffffffffffffffff")),
        (
            "a stranger's photo",
            json!({ "message": private(STRANGER, json!({
            "text": null, "photo": [{ "file_id": "x", "file_unique_id": "y", "width": 1, "height": 1 }] })) }),
        ),
        ("an update of no known kind", json!({ "something_new": { "from": { "id": OWNER } } })),
    ]
}

#[test]
fn nothing_goes_out_and_no_model_is_asked() {
    let job = Job::new("anthropic");
    let _daemon = Factotum::up(&job.home);
    job.chat.wait_until_polling();
    for (_, update) in updates() {
        job.chat.push(update);
    }
    // The owner's own message after them proves that they were all read.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(job.chat.outgoing(), Vec::<String>::new(), "something was said");
    assert_eq!(job.model.request_count(), 0, "a model was asked");
    job.chat.say("hello");
    job.chat.wait_for_any_message(Duration::from_secs(10));
    assert!(job.model.request_count() >= 1);
}
