//! Which conversations belong to ours, and whose message is whose. Owns the memory of names; must not make events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Conversations within ours that are followed.
const MAX_SESSIONS: usize = 1024;
/// Messages that are kept in mind. The oldest are forgotten: nothing more comes of them.
const MAX_MESSAGES: usize = 4096;

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A prompt, or one that opencode made up by itself.
    User,
    /// An answer of the model.
    Assistant,
    /// An answer that sums up the conversation because it became too long.
    Summary,
}

#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Our conversation, once it is known.
    session: Option<String>,
    within: BTreeSet<String>,
    kinds: BTreeMap<String, Kind>,
}

impl Messages {
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    pub fn begin(&mut self, session: &str) {
        self.session = Some(session.to_owned());
    }

    /// Whether this is our conversation.
    pub fn is_ours(&self, session: &Value) -> bool {
        session.as_str().is_some() && session.as_str() == self.session()
    }

    /// Whether this conversation is within ours.
    pub fn is_within(&self, session: &Value) -> bool {
        session.as_str().is_some_and(|session| self.within.contains(session))
    }

    pub fn is_of_ours(&self, session: &Value) -> bool {
        self.is_ours(session) || self.is_within(session)
    }

    /// A conversation was begun or has changed.
    pub fn met(&mut self, info: &Value) {
        let parent = &info["parentID"];
        if let Some(id) = info["id"].as_str()
            && self.is_of_ours(parent)
            && self.within.len() < MAX_SESSIONS
        {
            self.within.insert(id.to_owned());
        }
    }

    /// A message was begun or has changed.
    pub fn noted(&mut self, info: &Value) -> Option<Kind> {
        let kind = match (info["role"].as_str()?, info["summary"].as_bool()) {
            ("user", _) => Kind::User,
            (_, Some(true)) => Kind::Summary,
            _ => Kind::Assistant,
        };
        self.kinds.insert(info["id"].as_str()?.to_owned(), kind);
        if self.kinds.len() > MAX_MESSAGES {
            self.kinds.pop_first();
        }
        Some(kind)
    }

    /// The newest message. Names rise with time.
    pub fn newest(&self) -> Option<&str> {
        self.kinds.last_key_value().map(|(id, _)| id.as_str())
    }

    pub fn kind(&self, message: &Value) -> Option<Kind> {
        self.kinds.get(message.as_str()?).copied()
    }
}
