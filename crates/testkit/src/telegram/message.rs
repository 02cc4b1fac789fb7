//! What stands in a chat.

use serde_json::{Value, json};

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it shows.
    pub text: String,
    /// What comes back when it is pressed.
    pub data: String,
}

/// One state of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// What is seen, after the markup was read.
    pub text: String,
    /// The marks on it.
    pub entities: Vec<Value>,
    /// The buttons under it.
    pub buttons: Vec<Button>,
}

/// A message in a chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its number in the chat.
    pub id: i64,
    /// Its present state.
    pub now: Revision,
    /// Its earlier states, oldest first.
    pub earlier: Vec<Revision>,
    /// Whether the bot sent it.
    pub from_bot: bool,
    /// The text as the bot sent it, markup included.
    pub raw: String,
}

/// One state of a message in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Which draft.
    pub draft_id: i64,
    /// What is seen.
    pub text: String,
}

impl Message {
    /// What is seen.
    pub fn text(&self) -> &str {
        &self.now.text
    }

    /// The buttons under it.
    pub fn buttons(&self) -> &[Button] {
        &self.now.buttons
    }

    /// The message as the Bot API gives it.
    pub(super) fn to_json(&self, chat: &Value, from: &Value) -> Value {
        let mut message = json!({
            "message_id": self.id,
            "from": from,
            "chat": chat,
            "date": 1_700_000_000 + self.id,
            "text": self.now.text,
        });
        if !self.now.entities.is_empty() {
            message["entities"] = self.now.entities.clone().into();
        }
        if !self.earlier.is_empty() {
            message["edit_date"] = (1_700_000_100 + self.id).into();
        }
        if !self.now.buttons.is_empty() {
            let row: Vec<Value> = self
                .now
                .buttons
                .iter()
                .map(|button| json!({ "text": button.text, "callback_data": button.data }))
                .collect();
            message["reply_markup"] = json!({ "inline_keyboard": [row] });
        }
        message
    }
}
