//! Errors of programs that speak the protocol, by kind.

use serde_json::Value;

use crate::{Trouble, text, trouble};

/// What an error means. Adapters say more in `data`, each in its own words.
pub(super) fn failure(error: &Value) -> (Trouble, String) {
    let message = error["message"].as_str().unwrap_or("it answered with an error");
    let data = &error["data"];
    let info = &data["codexErrorInfo"];
    let named = info.as_str().or_else(|| info.as_object().and_then(|info| info.keys().next().map(String::as_str)));
    let trouble = match data["errorKind"].as_str().or(named).unwrap_or_default() {
        "billing_error" | "usageLimitExceeded" => Trouble::Quota,
        "authentication_error" | "authentication_failed" | "permission_error" | "unauthorized" => Trouble::Auth,
        "rate_limit" | "rate_limit_error" => Trouble::RateLimited,
        "overloaded"
        | "overloaded_error"
        | "api_error"
        | "server_error"
        | "serverOverloaded"
        | "internalServerError"
        | "responseStreamDisconnected"
        | "responseTooManyFailedAttempts" => Trouble::Server,
        "httpConnectionFailed" | "responseStreamConnectionFailed" => Trouble::Network,
        "contextWindowExceeded" | "prompt_too_long" => Trouble::Overflow,
        "refusal" => Trouble::Refused,
        _ if error["code"] == -32000 => Trouble::Auth,
        _ if error["code"] == -32002 => Trouble::Lost,
        _ => trouble::by_words(message),
    };
    (trouble, text::message(message))
}
