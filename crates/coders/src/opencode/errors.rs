//! opencode's errors, by kind.

use serde_json::Value;

use crate::{
    Trouble, text,
    trouble::{by_words, is_quota},
};

/// What an error object of the server means: `{"name": …, "data": {"message": …, "statusCode": …}}`.
pub(super) fn trouble(error: &Value) -> (Trouble, String) {
    let name = error["name"].as_str().unwrap_or_default();
    let data = &error["data"];
    let message = data["message"].as_str().or(error["message"].as_str()).unwrap_or(name);
    let body = data["responseBody"].as_str().unwrap_or_default();
    let trouble = match name {
        "ProviderAuthError" => Trouble::Auth,
        "ContextOverflowError" => Trouble::Overflow,
        "ContentFilterError" => Trouble::Refused,
        "NotFoundError" => Trouble::Lost,
        _ if is_quota(message) || is_quota(body) => Trouble::Quota,
        "APIError" => status(data["statusCode"].as_u64(), message),
        "MessageOutputLengthError" | "StructuredOutputError" => Trouble::Other,
        _ => by_words(message),
    };
    (trouble, text::message(message))
}

fn status(code: Option<u64>, message: &str) -> Trouble {
    match code {
        Some(401 | 403) => Trouble::Auth,
        Some(402) => Trouble::Quota,
        Some(429) => Trouble::RateLimited,
        Some(408 | 500..) => Trouble::Server,
        Some(_) => Trouble::Other,
        None => by_words(message),
    }
}
