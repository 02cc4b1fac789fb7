//! Updates of the Bot API into [`Inbound`]. Pure: decides nothing about who may speak, fetches nothing. Identity is
//! the numeric id alone.

use serde::Deserialize;
use serde_json::Value;
use types::Invariant;

use crate::{Inbound, InboundKind, RemoteId, Sender, format::neutral};

/// The most characters of a name.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
struct User {
    id: i64,
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    first_name: String,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct CallbackQuery {
    id: String,
    from: User,
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    data: Option<String>,
}

/// The place of a message, which even one that is too old to be shown has.
#[derive(Deserialize)]
struct Place {
    chat: Chat,
    message_id: i64,
}

/// What an attachment's field is called, and what people call it. An animation is also a document, so it comes first.
const ATTACHMENTS: [(&str, &str); 20] = [
    ("photo", "photo"),
    ("animation", "animation"),
    ("document", "file"),
    ("voice", "voice message"),
    ("audio", "audio file"),
    ("video", "video"),
    ("video_note", "video message"),
    ("sticker", "sticker"),
    ("live_photo", "live photo"),
    ("paid_media", "paid media"),
    ("contact", "contact"),
    ("venue", "place"),
    ("location", "location"),
    ("poll", "poll"),
    ("checklist", "checklist"),
    ("dice", "dice"),
    ("game", "game"),
    ("story", "story"),
    ("invoice", "invoice"),
    ("giveaway", "giveaway"),
];

/// What an update says; none when it names no sender or is of a kind that is not known.
pub fn parse(update: &Value) -> Option<Inbound> {
    let remote_id = update.get("update_id")?.as_i64()?.to_string();
    if let Some(message) = present(update, "message") {
        return parse_message(remote_id, message, false);
    }
    if let Some(message) = present(update, "edited_message") {
        return parse_message(remote_id, message, true);
    }
    parse_callback(remote_id, present(update, "callback_query")?)
}

fn present<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|value| !value.is_null())
}

fn read<'a, T: Deserialize<'a>>(object: &'a Value, field: &str) -> Option<T> {
    T::deserialize(present(object, field)?).ok()
}

fn parse_message(remote_id: String, message: &Value, edited: bool) -> Option<Inbound> {
    let from: User = read(message, "from")?;
    let chat: Chat = read(message, "chat")?;
    let foreign = ["forward_origin", "forward_from", "forward_from_chat", "forward_date", "via_bot", "sender_chat"];
    Some(Inbound {
        remote_id,
        private: is_private(&chat, &from),
        chat: chat.id.to_string(),
        kind: message_kind(message),
        edited: edited || present(message, "edit_date").is_some(),
        forwarded: foreign.iter().any(|field| present(message, field).is_some()),
        from_bot: from.is_bot,
        sender: sender(&from, chat.id),
    })
}

fn message_kind(message: &Value) -> InboundKind {
    if let Some(text) = read::<String>(message, "text") {
        return InboundKind::Text { text };
    }
    let attachment = ATTACHMENTS.iter().find(|(field, _)| present(message, field).is_some());
    InboundKind::Other {
        what: attachment.map_or("message of another kind", |(_, what)| what).to_owned(),
        caption: read(message, "caption"),
    }
}

fn parse_callback(remote_id: String, query: &Value) -> Option<Inbound> {
    let query = CallbackQuery::deserialize(query).ok()?;
    // Without a message the button stands under one that was sent through another chat: nothing private.
    let place = query.message.as_ref().and_then(|message| Place::deserialize(message).ok());
    let chat = place.as_ref().map_or(query.from.id, |place| place.chat.id);
    Some(Inbound {
        remote_id,
        private: place.as_ref().is_some_and(|place| is_private(&place.chat, &query.from)),
        chat: chat.to_string(),
        kind: InboundKind::Button {
            nonce: query.data.unwrap_or_default(),
            callback_id: query.id,
            message: place.map(|place| RemoteId(place.message_id.to_string())),
        },
        edited: false,
        forwarded: false,
        from_bot: query.from.is_bot,
        sender: sender(&query.from, chat),
    })
}

/// A private chat has the other's id. The type alone is the server's word for the same.
fn is_private(chat: &Chat, from: &User) -> bool {
    chat.kind == "private" && (chat.id == from.id || Invariant::SenderAuthenticated.is_broken())
}

/// Who sent it: the number that Telegram vouches for. A chat says where something was written, not by whom.
fn sender(from: &User, chat: i64) -> Sender {
    let user = if Invariant::SenderAuthenticated.is_broken() { chat } else { from.id };
    let short: String = from.first_name.chars().take(MAX_NAME).collect();
    Sender { user: user.to_string(), name: neutral(&short).replace('\n', " ") }
}
