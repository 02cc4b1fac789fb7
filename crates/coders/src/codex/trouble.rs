//! What Codex says of failures, in our own kinds.

use serde_json::Value;

use crate::Trouble;

/// The kind of a failure: by its code, by the status of the vendor's answer, and last by its words, where Codex has no code.
pub(super) fn trouble(error: &Value) -> Trouble {
    let info = &error["codexErrorInfo"];
    let message = error["message"].as_str().unwrap_or_default();
    match (info.as_str(), info.as_object()) {
        (Some(code), _) => by_code(code, message),
        (None, Some(info)) => {
            let detail = info.values().next();
            match detail.and_then(|detail| detail["httpStatusCode"].as_u64()) {
                Some(status) => by_status(status),
                None => Trouble::Network,
            }
        }
        (None, None) => by_words(message),
    }
}

fn by_code(code: &str, message: &str) -> Trouble {
    match code {
        "contextWindowExceeded" => Trouble::Overflow,
        "sessionBudgetExceeded" | "tooManyDenials" => Trouble::OwnLimit,
        "usageLimitExceeded" => Trouble::Quota,
        "rateLimitExceeded" => Trouble::RateLimited,
        "flexUnavailable" | "serverOverloaded" | "policyCapacityUnavailable" | "internalServerError" => Trouble::Server,
        "cyberPolicy" | "misalignmentPolicyViolation" | "inferenceHookDenied" => Trouble::Refused,
        "unauthorized" => Trouble::Auth,
        "threadRollbackFailed" => Trouble::Lost,
        _ => by_words(message),
    }
}

fn by_status(status: u64) -> Trouble {
    match status {
        401 | 403 => Trouble::Auth,
        402 => Trouble::Quota,
        429 => Trouble::RateLimited,
        408 | 500.. => Trouble::Server,
        _ => Trouble::Other,
    }
}

/// The words of 0.169. A phrase that changes makes the failure `Other`.
fn by_words(message: &str) -> Trouble {
    if message.starts_with("stream disconnected") || message.contains("error sending request") {
        return Trouble::Network;
    }
    let status = message.strip_prefix("unexpected status ").and_then(|rest| rest.get(..3)?.parse().ok());
    status.map_or(Trouble::Other, by_status)
}

/// The number of the attempt in `Reconnecting... 2/5`.
pub(super) fn attempt(message: &str) -> Option<u32> {
    let (before, _) = message.rsplit_once('/')?;
    before.rsplit(' ').next()?.parse().ok()
}

/// What Codex waits for, where it says that it waits and does not count.
pub(super) fn waits_for(message: &str) -> Option<&str> {
    message.split_once("waiting for ").map(|(_, what)| what.trim_end_matches('.'))
}

/// The sentence for the owner: the details say more where the message only counts.
pub(super) fn sentence(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or("it gives no reason");
    match error["additionalDetails"].as_str() {
        Some(details) if !details.is_empty() => format!("{message} ({details})"),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn failures_have_our_kinds() {
        let table = [
            (json!("contextWindowExceeded"), "", Trouble::Overflow),
            (json!("usageLimitExceeded"), "", Trouble::Quota),
            (json!("rateLimitExceeded"), "", Trouble::RateLimited),
            (json!("serverOverloaded"), "", Trouble::Server),
            (json!("cyberPolicy"), "", Trouble::Refused),
            (json!("unauthorized"), "", Trouble::Auth),
            (json!("modelNotFound"), "model not found", Trouble::Other),
            (json!("aCodeOfTheFuture"), "unexpected status 503 Service Unavailable: x", Trouble::Server),
            (json!({"httpConnectionFailed": {"httpStatusCode": 401}}), "", Trouble::Auth),
            (json!({"httpConnectionFailed": {"httpStatusCode": 402}}), "", Trouble::Quota),
            (json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), "", Trouble::RateLimited),
            (json!({"responseStreamDisconnected": {"httpStatusCode": null}}), "", Trouble::Network),
            (json!({"httpConnectionFailed": {"httpStatusCode": 404}}), "", Trouble::Other),
            (json!("other"), "stream disconnected before completion: x", Trouble::Network),
            (json!(null), "unexpected status 401 Unauthorized: x", Trouble::Auth),
            (json!(7), "", Trouble::Other),
            (json!({}), "", Trouble::Network),
        ];
        for (info, message, expected) in table {
            let error = json!({"message": message, "codexErrorInfo": info});
            assert_eq!(trouble(&error), expected, "{error}");
        }
        assert_eq!(attempt("Reconnecting... 2/5"), Some(2));
        assert_eq!(attempt("Reconnecting... waiting for network"), None);
        assert_eq!(waits_for("Reconnecting... waiting for network"), Some("network"));
        assert_eq!(waits_for("Reconnecting... 2/5"), None);
    }
}
