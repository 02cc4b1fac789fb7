//! What each method does. Works on the state alone; waiting and faults are the server's part.

use serde_json::{Map, Value, json};

use super::{
    entities::parse_html,
    message::{Button, Draft, Message, Revision},
    state::{Chat, State, bot},
};

/// The longest text, in UTF-16 units after the markup was read.
const MAX_TEXT: usize = 4096;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: u16,
    pub description: String,
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), retry_after: None }
    }

    fn bad(description: &str) -> Self {
        Self::new(400, format!("Bad Request: {description}"))
    }

    fn too_many(retry_after: u64) -> Self {
        let description = format!("Too Many Requests: retry after {retry_after}");
        Self { code: 429, description, retry_after: Some(retry_after) }
    }
}

type Answer = Result<Value, Refusal>;

/// Carries out any method but `getUpdates`, which waits.
pub(super) fn call(state: &mut State, method: &str, body: &Map<String, Value>) -> Answer {
    match method.to_ascii_lowercase().as_str() {
        "getme" => Ok(bot()),
        "sendmessage" => send_message(state, body),
        "editmessagetext" => edit_message_text(state, body),
        "deletemessage" => delete_message(state, body),
        "sendmessagedraft" if state.settings.drafts => send_message_draft(state, body),
        "sendchataction" => send_chat_action(state, body),
        "answercallbackquery" => answer_callback_query(state, body),
        "setwebhook" => {
            state.webhook = body.get("url").and_then(Value::as_str).filter(|url| !url.is_empty()).map(str::to_owned);
            Ok(true.into())
        }
        "deletewebhook" => {
            state.webhook = None;
            if body.get("drop_pending_updates").and_then(Value::as_bool) == Some(true) {
                state.updates.clear();
            }
            Ok(true.into())
        }
        "getwebhookinfo" => Ok(json!({
            "url": state.webhook.clone().unwrap_or_default(),
            "has_custom_certificate": false,
            "pending_update_count": state.updates.waiting().count(),
        })),
        "setmycommands" => Ok(true.into()),
        "getfile" => match body.get("file_id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => Ok(json!({ "file_id": id, "file_unique_id": id, "file_path": "files/1" })),
            Some(_) | None => Err(Refusal::bad("file_id not specified")),
        },
        _ => Err(Refusal::new(404, "Not Found: method not found")),
    }
}

/// A number that may come as text, as forms have it.
fn number(body: &Map<String, Value>, name: &str) -> Option<i64> {
    let value = body.get(name)?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn chat_id(body: &Map<String, Value>) -> Result<i64, Refusal> {
    if body.get("chat_id").is_none_or(Value::is_null) {
        return Err(Refusal::bad("chat_id is empty"));
    }
    number(body, "chat_id").ok_or_else(|| Refusal::bad("chat not found"))
}

/// The chat, if the bot may write there.
fn writable(state: &mut State, id: i64) -> Result<&mut Chat, Refusal> {
    let chat = state.chats.get_mut(&id).ok_or_else(|| Refusal::bad("chat not found"))?;
    if chat.blocked {
        return Err(Refusal::new(403, "Forbidden: bot was blocked by the user"));
    }
    Ok(chat)
}

/// The text of a message, with its markup read.
fn formatted(body: &Map<String, Value>, empty: &str) -> Result<(String, Vec<Value>), Refusal> {
    let raw = body.get("text").and_then(Value::as_str).unwrap_or_default();
    if raw.is_empty() {
        return Err(Refusal::bad(empty));
    }
    let (text, entities) = match body.get("parse_mode").and_then(Value::as_str) {
        Some(mode) if mode.eq_ignore_ascii_case("html") => {
            parse_html(raw).map_err(|error| Refusal::bad(&format!("can't parse entities: {error}")))?
        }
        Some("") | None => (raw.to_owned(), Vec::new()),
        Some(_) => return Err(Refusal::bad("unsupported parse_mode")),
    };
    if text.trim().is_empty() {
        return Err(Refusal::bad("text must be non-empty"));
    }
    let text = text.trim_end().to_owned();
    if text.encode_utf16().count() > MAX_TEXT {
        return Err(Refusal::bad("message is too long"));
    }
    Ok((text, entities))
}

fn buttons(body: &Map<String, Value>) -> Result<Vec<Button>, Refusal> {
    let Some(markup) = body.get("reply_markup").filter(|markup| !markup.is_null()) else { return Ok(Vec::new()) };
    // Forms carry it as text.
    let decoded = markup.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let markup = decoded.as_ref().unwrap_or(markup);
    let rows = markup.get("inline_keyboard").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| Refusal::bad("object expected as reply markup"))?;
    let mut buttons = Vec::new();
    for row in rows {
        let row = row.as_array().ok_or_else(|| {
            Refusal::bad("field \"inline_keyboard\" of the InlineKeyboardMarkup must be an Array of Arrays")
        })?;
        for button in row {
            let text = button.get("text").and_then(Value::as_str).unwrap_or_default();
            let data = button.get("callback_data").and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() {
                return Err(Refusal::bad("inline keyboard button text is empty"));
            }
            if data.is_empty() {
                return Err(Refusal::bad("text buttons are unallowed in the inline keyboard"));
            }
            if data.len() > 64 {
                return Err(Refusal::bad("BUTTON_DATA_INVALID"));
            }
            buttons.push(Button { text: text.to_owned(), data: data.to_owned() });
        }
    }
    Ok(buttons)
}

/// Counts a call against both rates.
fn pace(state: &mut State, chat: i64) -> Result<(), Refusal> {
    let (chat_rate, overall_rate) = (state.settings.chat_rate, state.settings.overall_rate);
    state.overall.take(overall_rate).map_err(Refusal::too_many)?;
    writable(state, chat)?.allowance.take(chat_rate).map_err(Refusal::too_many)
}

fn send_message(state: &mut State, body: &Map<String, Value>) -> Answer {
    let (text, entities) = formatted(body, "message text is empty")?;
    let buttons = buttons(body)?;
    let id = chat_id(body)?;
    writable(state, id)?;
    pace(state, id)?;
    let message = Message {
        id: state.message_number(),
        now: Revision { text, entities, buttons },
        earlier: Vec::new(),
        from_bot: true,
        raw: body.get("text").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    let answer = message.to_json(&state.chat_json(id), &bot());
    writable(state, id)?.messages.insert(message.id, message);
    Ok(answer)
}

fn edit_message_text(state: &mut State, body: &Map<String, Value>) -> Answer {
    let (text, entities) = formatted(body, "message text is empty")?;
    let buttons = buttons(body)?;
    let id = chat_id(body)?;
    let number = number(body, "message_id").ok_or_else(|| Refusal::bad("message identifier is not specified"))?;
    let place = state.chat_json(id);
    let chat = writable(state, id)?;
    let message = chat.messages.get(&number).ok_or_else(|| Refusal::bad("message to edit not found"))?;
    if !message.from_bot {
        return Err(Refusal::bad("message can't be edited"));
    }
    let now = Revision { text, entities, buttons };
    if message.now == now {
        return Err(Refusal::bad(
            "message is not modified: specified new message content and reply markup are exactly the same as a \
             current content and reply markup of the message",
        ));
    }
    pace(state, id)?;
    let message = writable(state, id)?.messages.get_mut(&number).ok_or_else(|| Refusal::bad("chat not found"))?;
    message.earlier.push(std::mem::replace(&mut message.now, now));
    message.raw = body.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(message.to_json(&place, &bot()))
}

fn delete_message(state: &mut State, body: &Map<String, Value>) -> Answer {
    let id = chat_id(body)?;
    let number = number(body, "message_id").ok_or_else(|| Refusal::bad("message identifier is not specified"))?;
    let removed = writable(state, id)?.messages.remove(&number);
    removed.map(|_| true.into()).ok_or_else(|| Refusal::bad("message to delete not found"))
}

fn send_message_draft(state: &mut State, body: &Map<String, Value>) -> Answer {
    let (text, _) = formatted(body, "text must be non-empty")?;
    let id = chat_id(body)?;
    let draft_id = number(body, "draft_id").filter(|id| *id != 0);
    let draft_id = draft_id.ok_or_else(|| Refusal::bad("RANDOM_ID_INVALID"))?;
    let overall_rate = state.settings.overall_rate;
    let chat = writable(state, id)?;
    if chat.kind != "private" {
        return Err(Refusal::bad("TEXTDRAFT_PEER_INVALID"));
    }
    chat.drafts.push(Draft { draft_id, text });
    state.overall.take(overall_rate).map_err(Refusal::too_many)?;
    Ok(true.into())
}

fn send_chat_action(state: &mut State, body: &Map<String, Value>) -> Answer {
    let id = chat_id(body)?;
    writable(state, id)?;
    match body.get("action").and_then(Value::as_str) {
        Some("typing" | "upload_document" | "upload_photo") => Ok(true.into()),
        Some(_) | None => Err(Refusal::bad("wrong parameter action in request")),
    }
}

fn answer_callback_query(state: &mut State, body: &Map<String, Value>) -> Answer {
    let lifetime = state.settings.callback_lifetime;
    let id = body.get("callback_query_id").and_then(Value::as_str).unwrap_or_default();
    let callback = state.callbacks.get_mut(id).filter(|callback| callback.at.elapsed() <= lifetime);
    let Some(callback) = callback else {
        return Err(Refusal::bad("query is too old and response timeout expired or query ID is invalid"));
    };
    callback.answered = true;
    Ok(true.into())
}
