//! Whether a request to a model asks its vendor for an answer and nothing else. Vendors fetch addresses, search, run code and
//! keep things for whoever asks them in the body of such a request; a sandbox that may ask a model would reach the world that
//! way, past every rule. Only what is known to do none of that passes: fields, kinds of content and kinds of tools that are
//! not listed in `interfaces` are refused. Pure, linear in the body, and nothing of it is copied. Start with [`inspect`].

mod interfaces;
mod shape;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use serde::de::DeserializeSeed;
use serde_json::json;

use crate::path::RequestPath;
use shape::{Checked, Found};

/// The most bytes of a request's body: more than any vendor's interface for conversations takes.
pub(crate) const MAX_BODY: u64 = 32 << 20;

/// How a vendor is asked, and how it says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions, which most vendors speak.
    Chat,
    /// Google's `generateContent`.
    Generate,
    /// The list of models, which has no body.
    List,
}

/// Why a request was refused, in words for the program that made it. No more of the request than the name of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is no request to a model.
    #[error("a coding agent may ask its vendor's models and read the list of them, and nothing else of that host")]
    NoModelRequest,
    /// It cannot be looked through.
    #[error(
        "a request to a model must have a body of JSON, uncompressed, in UTF-8, without a name twice in one object"
    )]
    Unreadable,
    /// It is too long.
    #[error("a request to a model may have {} MiB", MAX_BODY >> 20)]
    TooLong,
    /// Something in it that is not known to be harmless.
    #[error(
        "{0}; tools and contents that the vendor would fetch, run or keep for a sandbox are closed, and so is what this version \
         does not know"
    )]
    Field(String),
}

impl Interface {
    /// The interface that a request is for; none where it is no request to a model.
    pub fn of(method: &str, path: &RequestPath) -> Option<Self> {
        match method {
            "GET" if path.ends_with(&["models"]) || path.is_in("models") => Some(Self::List),
            "POST" if path.ends_with(&["messages"]) || path.ends_with(&["messages", "count_tokens"]) => {
                Some(Self::Messages)
            }
            "POST" if path.ends_with(&["responses"]) => Some(Self::Responses),
            "POST" if path.ends_with(&["chat", "completions"]) => Some(Self::Chat),
            "POST" if path.is_in("models") => Some(Self::Generate),
            _ => None,
        }
    }

    /// A refusal as the interface has it.
    pub fn error(self, status: u16, message: &str) -> String {
        let error = match self {
            Self::Messages => json!({
                "type": "error", "error": { "type": "invalid_request_error", "message": message },
            }),
            Self::Responses | Self::Chat | Self::List => json!({
                "error": { "message": message, "type": "invalid_request_error", "param": null, "code": "refused_by_proxy" },
            }),
            Self::Generate => json!({
                "error": { "code": status, "message": message, "status": "INVALID_ARGUMENT" },
            }),
        };
        error.to_string()
    }
}

/// Looks through a request.
pub(crate) fn inspect(interface: Interface, path: &RequestPath, body: &[u8]) -> Result<(), Refused> {
    let shape = match interface {
        Interface::List if body.is_empty() => return Ok(()),
        Interface::List => return Err(Refused::NoModelRequest),
        Interface::Messages => &interfaces::MESSAGES,
        Interface::Responses => &interfaces::RESPONSES,
        Interface::Chat => &interfaces::CHAT,
        Interface::Generate if !is_generation(path) => return Err(Refused::NoModelRequest),
        Interface::Generate => &interfaces::GENERATE,
    };
    if body.len() as u64 > MAX_BODY {
        return Err(Refused::TooLong);
    }
    let found = RefCell::new(None);
    // Also where nothing is looked at: a lenient reader could find a quotation mark in what is no character for us.
    let text = std::str::from_utf8(body).map_err(|_| Refused::Unreadable)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Checked::new(shape, &found).deserialize(&mut reader).and_then(|()| reader.end());
    match (found.into_inner(), read) {
        (Some(Found(what)), _) => Err(Refused::Field(what)),
        (None, Err(_)) => Err(Refused::Unreadable),
        (None, Ok(())) => Ok(()),
    }
}

/// Whether the path ends in a model and what Google's interface calls asking it.
fn is_generation(path: &RequestPath) -> bool {
    let asks = [":generateContent", ":streamGenerateContent", ":countTokens"];
    path.last().is_some_and(|last| asks.iter().any(|ask| last.strip_suffix(ask).is_some_and(shape::is_plain_model)))
}
