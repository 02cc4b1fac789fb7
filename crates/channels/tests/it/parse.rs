//! Updates as the real server sends them.

use channels::{Inbound, InboundKind, RemoteId, Sender, telegram::parse};
use serde_json::{Value, json};

/// The plain case, which each test changes in one way.
fn text_of(text: &str) -> Inbound {
    Inbound {
        remote_id: "10".to_owned(),
        sender: Sender { user: "7".to_owned(), name: "Ada".to_owned() },
        chat: "7".to_owned(),
        private: true,
        kind: InboundKind::Text { text: text.to_owned() },
        edited: false,
        forwarded: false,
        from_bot: false,
    }
}

fn message(extra: Value) -> Value {
    let mut message = json!({
        "message_id": 5,
        "from": { "id": 7, "is_bot": false, "first_name": "Ada", "username": "ada", "language_code": "en" },
        "chat": { "id": 7, "first_name": "Ada", "username": "ada", "type": "private" },
        "date": 1_700_000_000,
    });
    if let (Some(fields), Value::Object(extra)) = (message.as_object_mut(), extra) {
        fields.extend(extra);
    }
    message
}

fn update(kind: &str, content: Value) -> Value {
    json!({ "update_id": 10, kind: content })
}

fn check(update: &Value, expected: Option<Inbound>) {
    assert_eq!(parse(update), expected, "{update}");
}

#[test]
fn words() {
    check(&update("message", message(json!({ "text": "hello" }))), Some(text_of("hello")));
    let entities = json!([{ "type": "text_link", "offset": 0, "length": 4, "url": "https://evil.example" }]);
    check(&update("message", message(json!({ "text": "look", "entities": entities }))), Some(text_of("look")));
}

#[test]
fn the_name_is_for_reading_alone() {
    let from = json!({ "id": 8, "is_bot": false, "first_name": "A\u{202e}da\n\u{1b}[0m", "username": "owner" });
    let parsed = parse(&update("message", message(json!({ "from": from, "text": "x" }))));
    let expected = Sender { user: "8".to_owned(), name: "A\u{fffd}da ␛[0m".to_owned() };
    assert_eq!(parsed.as_ref().map(|inbound| &inbound.sender), Some(&expected));
    // The chat is still somebody else's: that is not a private chat with the sender.
    assert_eq!(parsed.map(|inbound| inbound.private), Some(false));
}

#[test]
fn changed_and_foreign_words_are_marked() {
    let edited = Inbound { edited: true, ..text_of("hello") };
    check(&update("edited_message", message(json!({ "text": "hello", "edit_date": 1 }))), Some(edited.clone()));
    check(&update("message", message(json!({ "text": "hello", "edit_date": 1 }))), Some(edited));
    let forwarded = Inbound { forwarded: true, ..text_of("hello") };
    for (field, value) in [
        ("forward_origin", json!({ "type": "user", "sender_user": { "id": 9 }, "date": 1 })),
        ("forward_from", json!({ "id": 9, "is_bot": false, "first_name": "B" })),
        ("forward_date", json!(1)),
        ("via_bot", json!({ "id": 9, "is_bot": true, "first_name": "inline" })),
        ("sender_chat", json!({ "id": -100, "type": "channel" })),
    ] {
        check(&update("message", message(json!({ "text": "hello", field: value }))), Some(forwarded.clone()));
    }
    let bot = json!({ "id": 7, "is_bot": true, "first_name": "Ada" });
    let from_bot = Inbound { from_bot: true, ..text_of("hello") };
    check(&update("message", message(json!({ "text": "hello", "from": bot }))), Some(from_bot));
}

#[test]
fn groups_are_not_private() {
    for kind in ["group", "supergroup", "channel"] {
        let chat = json!({ "id": -1009, "type": kind, "title": "x" });
        let expected = Inbound { chat: "-1009".to_owned(), private: false, ..text_of("hello") };
        check(&update("message", message(json!({ "text": "hello", "chat": chat }))), Some(expected));
    }
}

#[test]
fn attachments_are_named_and_not_opened() {
    let photo = json!([{ "file_id": "a", "file_unique_id": "b", "width": 90, "height": 90, "file_size": 1000 }]);
    let document = json!({ "file_id": "a", "file_name": "../../etc/passwd", "mime_type": "text/plain" });
    for (fields, what, caption) in [
        (json!({ "photo": photo, "caption": "see" }), "photo", Some("see")),
        (json!({ "document": document }), "file", None),
        (json!({ "animation": { "file_id": "a" }, "document": document }), "animation", None),
        (json!({ "voice": { "file_id": "a", "duration": 3 } }), "voice message", None),
        (json!({ "location": { "latitude": 1.0, "longitude": 2.0 } }), "location", None),
        (json!({ "something_of_next_year": {} }), "message of another kind", None),
        (json!({ "text": 5 }), "message of another kind", None),
    ] {
        let kind = InboundKind::Other { what: what.to_owned(), caption: caption.map(str::to_owned) };
        check(&update("message", message(fields)), Some(Inbound { kind, ..text_of("") }));
    }
}

#[test]
fn buttons() {
    let from = json!({ "id": 7, "is_bot": false, "first_name": "Ada" });
    let callback =
        |message: Value| json!({ "id": "4382bfdwdsb323b2d9", "from": from, "message": message, "data": "nonce" });
    let pressed = |message: Option<&str>| InboundKind::Button {
        nonce: "nonce".to_owned(),
        callback_id: "4382bfdwdsb323b2d9".to_owned(),
        message: message.map(|id| RemoteId(id.to_owned())),
    };
    let expected = Inbound { kind: pressed(Some("5")), ..text_of("") };
    check(&update("callback_query", callback(message(json!({ "text": "?" })))), Some(expected.clone()));
    let old = json!({ "chat": { "id": 7, "type": "private" }, "message_id": 5, "date": 0 });
    check(&update("callback_query", callback(old)), Some(expected.clone()));
    let group = json!({ "chat": { "id": -5, "type": "group" }, "message_id": 5, "date": 0 });
    let in_group = Inbound { chat: "-5".to_owned(), private: false, ..expected };
    check(&update("callback_query", callback(group)), Some(in_group));
    let inline = Inbound { kind: pressed(None), private: false, ..text_of("") };
    check(&update("callback_query", callback(Value::Null)), Some(inline));
}

#[test]
fn what_names_no_sender_is_nothing() {
    let channel_post = json!({ "message_id": 5, "chat": { "id": -5, "type": "channel" }, "date": 1, "text": "x" });
    for nothing in [
        json!({}),
        json!([]),
        json!({ "update_id": "10", "message": message(json!({ "text": "x" })) }),
        json!({ "update_id": 10 }),
        json!({ "update_id": 10, "message": null }),
        json!({ "update_id": 10, "message": "text" }),
        update("channel_post", channel_post.clone()),
        update("message", channel_post),
        update("message_of_next_year", message(json!({ "text": "x" }))),
        update("message", message(json!({ "from": { "id": "7" }, "text": "x" }))),
        update("message", message(json!({ "chat": null, "text": "x" }))),
        update("callback_query", json!({ "id": "1", "data": "nonce" })),
    ] {
        check(&nothing, None);
    }
}
