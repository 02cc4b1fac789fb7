//! The requests to opencode's server, as lines of the bridge, and which answer belongs to which.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Trouble, text};

use super::errors;

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Whether the server answers at all.
    Health,
    /// The stream of events.
    Events,
    /// The conversation itself: made, found or copied.
    Session,
    /// The prompt with this number.
    Prompt(u64),
    /// The end of the turn.
    Abort,
    /// What an answer to a permission or question did.
    Reply,
    /// What was said so far.
    Messages,
    /// Permissions that wait.
    Permissions,
    /// Questions that wait.
    Questions,
    /// Which conversations are at work.
    Status,
}

/// Makes requests, and remembers which are open.
#[derive(Debug)]
pub(super) struct Requests {
    authorization: String,
    count: u64,
    open: BTreeMap<String, About>,
}

impl Requests {
    pub fn new(password: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("opencode:{password}")));
        Self { authorization, count: 0, open: BTreeMap::new() }
    }

    pub fn get(&mut self, about: About, path: &str) -> String {
        self.line(about, json!({"method": "GET", "path": path}))
    }

    pub fn post(&mut self, about: About, path: &str, body: &Value) -> String {
        self.line(about, json!({"method": "POST", "path": path, "body": body}))
    }

    /// A request that is swallowed when it comes a moment after the server began to listen.
    pub fn health(&mut self) -> String {
        self.line(About::Health, json!({"method": "GET", "path": "/global/health", "timeout_s": 3}))
    }

    pub fn events(&mut self) -> String {
        self.line(About::Events, json!({"method": "GET", "path": "/event", "stream": true}))
    }

    /// What the request with this number is about, and whether it is still the one that counts.
    pub fn about(&self, id: &str) -> Option<&About> {
        self.open.get(id)
    }

    pub fn close(&mut self, id: &str) -> Option<About> {
        self.open.remove(id)
    }

    pub fn is_open(&self, about: &About) -> bool {
        self.open.values().any(|open| open == about)
    }

    fn line(&mut self, about: About, mut request: Value) -> String {
        self.count += 1;
        let id = self.count.to_string();
        request["id"] = json!(id);
        request["headers"] = json!({"authorization": self.authorization});
        self.open.insert(id, about);
        request.to_string()
    }
}

/// The body of an answer, or what went wrong.
pub(super) fn answer(line: &Value) -> Result<&Value, (Trouble, String)> {
    match line["status"].as_u64() {
        Some(200..300) => Ok(&line["body"]),
        Some(status) => {
            let (trouble, message) = errors::trouble(&line["body"]);
            let trouble = if status == 404 { Trouble::Lost } else { trouble };
            let message =
                if message.is_empty() { format!("its server answered with status {status}") } else { message };
            Err((trouble, message))
        }
        None => {
            let why = line["error"].as_str().or(line["closed"].as_str()).unwrap_or("its server did not answer");
            Err((Trouble::Crashed, text::message(why)))
        }
    }
}

/// For a path: a conversation's name is letters, digits and `_`.
pub(super) fn escaped(id: &str) -> String {
    id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}
