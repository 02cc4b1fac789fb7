//! What kind of failure a sentence tells of, for programs that say nothing better. Owns the words to look for.

use crate::Trouble;

/// The kind of failure that a program describes in words.
pub(crate) fn by_words(message: &str) -> Trouble {
    let words = message.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if is_quota(message) {
        Trouble::Quota
    } else if has(&["context length", "context window", "context_length", "prompt is too long", "too many tokens"]) {
        Trouble::Overflow
    } else if has(&["rate limit", "too many requests", "429"]) {
        Trouble::RateLimited
    } else if has(&["api key", "api_key", "unauthorized", "authentication", "not logged in", "401"]) {
        Trouble::Auth
    } else if has(&["cannot connect", "unable to connect", "connection refused", "econnrefused", "network", "socket"]) {
        Trouble::Network
    } else if has(&["json", "overloaded", "server error", "timed out", "timeout", "500", "502", "503", "529"]) {
        Trouble::Server
    } else {
        Trouble::Other
    }
}

/// Whether a vendor says that there is no money left. Repeating such a request helps nobody.
pub(crate) fn is_quota(message: &str) -> bool {
    let words = message.to_lowercase();
    let signs =
        ["insufficient_quota", "exceeded your current quota", "credit balance is too low", "insufficient credits"];
    signs.iter().any(|sign| words.contains(sign))
}
