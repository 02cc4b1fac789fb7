//! Everything the double remembers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    fault::Fault,
    message::{Draft, Message},
    rate::{Allowance, Rate},
    updates::Updates,
};

/// The bot's own number.
pub(super) const BOT_ID: i64 = 424_242;

/// How the double behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many messages and edits one chat gets.
    pub chat_rate: Rate,
    /// How many calls that reach a chat are taken in all.
    pub overall_rate: Rate,
    /// How long a pressed button waits for its answer.
    pub callback_lifetime: Duration,
    /// Whether the method `sendMessageDraft` exists.
    pub drafts: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chat_rate: Rate { burst: 10.0, per_second: 1.0 },
            overall_rate: Rate { burst: 30.0, per_second: 30.0 },
            callback_lifetime: Duration::from_secs(15),
            drafts: true,
        }
    }
}

/// One call as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method as it was written.
    pub method: String,
    /// The parameters.
    pub body: Value,
    /// The size of the request's body.
    pub bytes: usize,
    /// The status of the answer; none while there is none, or when the connection was closed instead.
    pub status: Option<u16>,
}

impl Call {
    /// Whether the call shows anything to anybody, in contrast to receiving and to asking about the bot itself.
    pub fn reaches_someone(&self) -> bool {
        !matches!(self.method.as_str(), "getMe" | "getUpdates" | "deleteWebhook" | "getWebhookInfo" | "setMyCommands")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub kind: String,
    pub blocked: bool,
    pub messages: BTreeMap<i64, Message>,
    pub drafts: Vec<Draft>,
    pub allowance: Allowance,
}

#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub at: Instant,
    pub answered: bool,
}

/// What the double remembers, for tests to look at.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) settings: Settings,
    pub(super) chats: BTreeMap<i64, Chat>,
    pub(super) next_message: i64,
    pub(super) updates: Updates,
    pub(super) callbacks: BTreeMap<String, Callback>,
    pub(super) calls: Vec<Call>,
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    pub(super) webhook: Option<String>,
    pub(super) overall: Allowance,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            overall: Allowance::full(settings.overall_rate),
            settings,
            chats: BTreeMap::new(),
            next_message: 1,
            updates: Updates::default(),
            callbacks: BTreeMap::new(),
            calls: Vec::new(),
            faults: BTreeMap::new(),
            webhook: None,
        }
    }

    /// The messages that stand in a chat, oldest first.
    pub fn messages(&self, chat: i64) -> Vec<Message> {
        self.chats.get(&chat).map(|chat| chat.messages.values().cloned().collect()).unwrap_or_default()
    }

    /// The messages that the bot sent to a chat, oldest first.
    pub fn sent(&self, chat: i64) -> Vec<Message> {
        self.messages(chat).into_iter().filter(|message| message.from_bot).collect()
    }

    /// Every state of every draft in a chat, in order.
    pub fn drafts(&self, chat: i64) -> Vec<Draft> {
        self.chats.get(&chat).map(|chat| chat.drafts.clone()).unwrap_or_default()
    }

    /// Every call so far, in order of arrival.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.calls.iter().filter(|call| call.method == method).count()
    }

    /// How many bytes were sent to be shown to somebody.
    pub fn bytes_out(&self) -> usize {
        self.calls.iter().filter(|call| call.reaches_someone()).map(|call| call.bytes).sum()
    }

    /// The updates that were not confirmed, oldest first.
    pub fn pending(&self) -> Vec<Value> {
        self.updates.waiting().cloned().collect()
    }

    /// Whether a pressed button got its answer.
    pub fn is_answered(&self, callback_id: &str) -> bool {
        self.callbacks.get(callback_id).is_some_and(|callback| callback.answered)
    }

    /// How many faults have not met a call yet.
    pub fn faults_left(&self) -> usize {
        self.faults.values().map(VecDeque::len).sum()
    }

    pub(super) fn chat_mut(&mut self, id: i64, kind: &str) -> &mut Chat {
        let allowance = Allowance::full(self.settings.chat_rate);
        self.chats.entry(id).or_insert_with(|| Chat {
            kind: kind.to_owned(),
            blocked: false,
            messages: BTreeMap::new(),
            drafts: Vec::new(),
            allowance,
        })
    }

    pub(super) fn message_number(&mut self) -> i64 {
        let number = self.next_message;
        self.next_message += 1;
        number
    }

    pub(super) fn chat_json(&self, id: i64) -> Value {
        let kind = self.chats.get(&id).map_or("private", |chat| chat.kind.as_str());
        if kind == "private" { private_chat(id) } else { json!({ "id": id, "type": kind, "title": "A group" }) }
    }

    pub(super) fn take_fault(&mut self, method: &str) -> Option<Fault> {
        self.faults.get_mut(&method.to_ascii_lowercase())?.pop_front()
    }
}

pub(super) fn private_chat(id: i64) -> Value {
    json!({ "id": id, "type": "private", "first_name": "Person" })
}

pub(super) fn person(id: i64) -> Value {
    json!({ "id": id, "is_bot": false, "first_name": "Person", "language_code": "en" })
}

pub(super) fn bot() -> Value {
    json!({
        "id": BOT_ID,
        "is_bot": true,
        "first_name": "Double",
        "username": "double_bot",
        "can_join_groups": true,
        "can_read_all_group_messages": false,
        "supports_inline_queries": false,
    })
}
