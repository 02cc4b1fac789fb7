//! From what a vendor or the network says to a typed error. Pure. Vendors differ in words, so several are recognised;
//! what is not recognised falls back to the status.

mod google;

use egress::{EgressError, EgressErrorKind};
use serde_json::Value;
use types::{ProviderError, ProviderErrorKind};

use ProviderErrorKind as Kind;

/// The most characters of a vendor's text that are kept.
const MAX_MESSAGE_CHARS: usize = 500;

/// What the head of an HTTP error tells about waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WaitHeaders<'a> {
    /// `retry-after-ms`.
    pub retry_after_ms: Option<&'a str>,
    /// `retry-after`: seconds or a date.
    pub retry_after: Option<&'a str>,
    /// `date`: the server's own clock, against which its date is to be read.
    pub date: Option<&'a str>,
}

/// An HTTP error.
pub(crate) fn from_status(status: u16, headers: WaitHeaders<'_>, body: &str) -> ProviderError {
    let said = Said::read(body);
    let message = if said.message.is_empty() { plain_text(body) } else { said.message.clone() };
    ProviderError {
        kind: said.kind(Some(status)),
        message: bounded(&message),
        status: Some(status),
        retry_after_ms: wait_ms(headers).or(said.google.retry_delay_ms),
    }
}

/// An error that came as an event of a stream, after status 200. `error` is the value of its `error` field.
pub(crate) fn from_stream(error: &Value) -> ProviderError {
    let said = Said::from_error(error);
    // Some gateways put the upstream's status into the code.
    let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
    let kind = said.kind(status);
    let in_words = || (kind == Kind::RateLimited).then(|| wait_in_words(&said.message)).flatten();
    let retry_after_ms = said.google.retry_delay_ms.or_else(in_words);
    ProviderError { kind, message: bounded(&said.message), status, retry_after_ms }
}

/// Whether the vendor refused the reasoning that it had once given: it was signed or encrypted with keys that are gone, or for
/// another account or region. Without that reasoning it takes the same conversation.
pub(crate) fn refuses_own_reasoning(error: &ProviderError) -> bool {
    let message = error.message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let of_reasoning = has(&["thinking", "thought", "encrypted content", "encrypted_content", "reasoning"]);
    let refused = has(&[
        "invalid signature",
        "invalid `signature`",
        "signature is not valid",
        "could not be verified",
        "could not be decrypted",
        "corrupted",
        "cannot be modified",
    ]);
    error.kind == Kind::BadRequest && of_reasoning && refused
}

/// A failure on the way. `answering` tells whether the answer had begun.
pub(crate) fn from_egress(error: &EgressError, answering: bool) -> ProviderError {
    let kind = match error.kind {
        EgressErrorKind::Connect | EgressErrorKind::Tls => Kind::Network,
        EgressErrorKind::Closed if answering => Kind::Truncated,
        EgressErrorKind::Closed => Kind::Network,
        EgressErrorKind::Timeout => Kind::Timeout,
        EgressErrorKind::TooLarge | EgressErrorKind::Malformed => Kind::Malformed,
        EgressErrorKind::Secret => Kind::Auth,
        EgressErrorKind::Cancelled => Kind::Cancelled,
        EgressErrorKind::Invalid => Kind::BadRequest,
    };
    ProviderError::new(kind, bounded(&error.message))
}

/// What an error's body says, in lower case where it is compared.
struct Said {
    kind: String,
    code: String,
    message: String,
    google: google::Details,
}

impl Said {
    fn read(body: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(body) else {
            return Self::from_error(&Value::Null);
        };
        // Gemini's compatible interface wraps its error into a list.
        let value = value.get(0).unwrap_or(&value);
        Self::from_error(value.get("error").unwrap_or(value))
    }

    fn from_error(error: &Value) -> Self {
        let text = |key: &str| match &error[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        };
        let message = match error.as_str() {
            Some(message) => message.to_owned(),
            None => [text("message"), text("detail")].into_iter().find(|text| !text.is_empty()).unwrap_or_default(),
        };
        // Google's name for the kind; its code is the status.
        let kind = [text("type"), text("status")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let google = google::Details::read(&error["details"]);
        Self { kind: kind.to_lowercase(), code: text("code").to_lowercase(), message, google }
    }

    fn kind(&self, status: Option<u16>) -> Kind {
        if self.is_overflow(status) {
            return Kind::ContextOverflow;
        }
        // What is counted by the minute is told from what is used up by the details alone: the text is the same.
        let exhausted = status == Some(429) || self.kind == "resource_exhausted";
        if let Some(kind) = self.google.kind.filter(|kind| *kind == Kind::Auth || exhausted) {
            return kind;
        }
        if self.is_quota(status) {
            return Kind::Quota;
        }
        status.map_or_else(|| self.kind_by_name(), kind_by_status)
    }

    /// Whether the conversation is too long. A rate limit counts tokens as well, so 429 is left out.
    fn is_overflow(&self, status: Option<u16>) -> bool {
        if !status.is_none_or(|status| matches!(status, 400 | 413 | 422 | 500)) || self.kind.contains("rate_limit") {
            return false;
        }
        let codes = ["context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"];
        let texts = [
            "prompt is too long",
            "maximum context length",
            "exceed context limit",
            "exceeds the context window",
            "exceeds the available context size",
            "exceeds context length",
            "exceeds the context length",
            "longer than the context length",
            "exceeds the maximum number of tokens",
            "reduce the length of the messages",
        ];
        let message = self.message.to_lowercase();
        codes.iter().any(|code| self.code == *code || self.kind == *code)
            || texts.iter().any(|text| message.contains(text))
    }

    fn is_quota(&self, status: Option<u16>) -> bool {
        let codes = ["insufficient_quota", "billing_error", "billing_hard_limit_reached", "insufficient_credits"];
        let texts = [
            "credit balance is too low",
            "exceeded your current quota",
            "insufficient balance",
            "credits are depleted",
        ];
        let message = self.message.to_lowercase();
        status == Some(402)
            || codes.iter().any(|code| self.code == *code || self.kind == *code)
            || texts.iter().any(|text| message.contains(text))
    }

    /// The kind by the vendor's own name for it, where there is no status.
    fn kind_by_name(&self) -> Kind {
        let named = |name: &str| self.kind == name || self.code == name;
        let names = [
            ("overloaded_error", Kind::Overloaded),
            ("overloaded", Kind::Overloaded),
            ("server_is_overloaded", Kind::Overloaded),
            ("slow_down", Kind::Overloaded),
            ("rate_limit_error", Kind::RateLimited),
            ("rate_limit_exceeded", Kind::RateLimited),
            ("timeout_error", Kind::Timeout),
            ("authentication_error", Kind::Auth),
            ("invalid_api_key", Kind::Auth),
            ("permission_error", Kind::Auth),
            ("not_found_error", Kind::NotFound),
            ("model_not_found", Kind::NotFound),
            ("request_too_large", Kind::TooLarge),
            ("invalid_request_error", Kind::BadRequest),
            ("unavailable", Kind::Overloaded),
            ("resource_exhausted", Kind::RateLimited),
            ("deadline_exceeded", Kind::Timeout),
            ("unauthenticated", Kind::Auth),
            ("permission_denied", Kind::Auth),
            ("not_found", Kind::NotFound),
            ("invalid_argument", Kind::BadRequest),
            ("failed_precondition", Kind::BadRequest),
        ];
        if let Some((_, kind)) = names.into_iter().find(|(name, _)| named(name)) {
            return kind;
        }
        // What OpenAI finds wrong with a request although it has begun to answer: `invalid_prompt`, `image_too_large` and such.
        let of_request = self.code.starts_with("invalid_") || self.code.contains("image");
        // An answer had begun, so an unknown trouble is the vendor's own.
        if of_request { Kind::BadRequest } else { Kind::Server }
    }
}

fn kind_by_status(status: u16) -> Kind {
    match status {
        // Redirects are not followed: the key would follow them.
        300..=399 | 404 | 405 | 410 => Kind::NotFound,
        401 | 403 => Kind::Auth,
        402 => Kind::Quota,
        408 | 504 | 522 | 524 => Kind::Timeout,
        409 | 425 => Kind::Server,
        413 => Kind::TooLarge,
        429 => Kind::RateLimited,
        503 | 529 => Kind::Overloaded,
        500..=599 => Kind::Server,
        _ => Kind::BadRequest,
    }
}

/// The first line of a body that is not JSON, if it is text for people; pages of HTML are not.
fn plain_text(body: &str) -> String {
    let first = body.trim_start().lines().next().unwrap_or_default().trim();
    if first.starts_with(['<', '{', '[']) { String::new() } else { first.to_owned() }
}

/// At most 500 characters, none of them a control character.
pub(crate) fn bounded(text: &str) -> String {
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.take(MAX_MESSAGE_CHARS).collect();
    if text.trim().chars().nth(MAX_MESSAGE_CHARS).is_some() {
        short.push('…');
    }
    short
}

fn wait_ms(headers: WaitHeaders<'_>) -> Option<u64> {
    if let Some(ms) = headers.retry_after_ms.and_then(|text| text.trim().parse::<f64>().ok()) {
        return whole_ms(ms);
    }
    let text = headers.retry_after?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return whole_ms(seconds * 1000.0);
    }
    let seconds = http_date(text)?.saturating_sub(http_date(headers.date?)?);
    u64::try_from(seconds).ok().map(|seconds| seconds.saturating_mul(1000))
}

/// How long a text asks us to wait that says `Please try again in 11.05s` or `in 120ms`: inside a stream there is no header.
fn wait_in_words(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once("try again in ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, unit) = rest.split_at(end);
    let number = number.parse::<f64>().ok()?;
    if unit.starts_with("ms") {
        whole_ms(number)
    } else if unit.trim_start().starts_with('s') {
        whole_ms(number * 1000.0)
    } else {
        None
    }
}

fn whole_ms(ms: f64) -> Option<u64> {
    // The cast saturates; what is not a number or negative is no waiting time.
    (ms >= 0.0).then_some(ms.ceil() as u64)
}

/// Seconds since the epoch of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may send.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let fields: Vec<&str> = text.trim().split([' ', ',', ':']).filter(|field| !field.is_empty()).collect();
    let &[_, day, month, year, hour, minute, second, "GMT"] = fields.as_slice() else { return None };
    let number = |text: &str| text.parse::<i64>().ok();
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year = number(year).filter(|year| (1970..10_000).contains(year))?;
    // Days since the epoch of a Gregorian date, with years that begin in March so that the leap day is the last.
    let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era_days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400;
    let days = era_days + (march_month * 153 + 2) / 5 + number(day)? - 1 - 719_468;
    Some(days * 86_400 + number(hour)? * 3600 + number(minute)? * 60 + number(second)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: Kind) {
        assert_eq!(from_status(status, WaitHeaders::default(), body).kind, expected, "{status} {body}");
    }

    #[test]
    fn statuses_have_kinds() {
        let expected = [
            (301, Kind::NotFound),
            (400, Kind::BadRequest),
            (401, Kind::Auth),
            (402, Kind::Quota),
            (403, Kind::Auth),
            (404, Kind::NotFound),
            (408, Kind::Timeout),
            (413, Kind::TooLarge),
            (418, Kind::BadRequest),
            (422, Kind::BadRequest),
            (429, Kind::RateLimited),
            (500, Kind::Server),
            (502, Kind::Server),
            (503, Kind::Overloaded),
            (504, Kind::Timeout),
            (529, Kind::Overloaded),
        ];
        for (status, kind) in expected {
            check(status, "", kind);
            check(status, "<html>", kind);
            check(status, r#"{"error":{"message":"x"}}"#, kind);
        }
    }

    #[test]
    fn overflow_is_told_from_other_bad_requests() {
        for message in [
            "prompt is too long: 215000 tokens > 200000 maximum",
            "This model's maximum context length is 128000 tokens.",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            "the request exceeds the available context size",
        ] {
            let body = serde_json::json!({"error": {"type": "invalid_request_error", "message": message}}).to_string();
            check(400, &body, Kind::ContextOverflow);
            check(429, &body, Kind::RateLimited);
        }
        check(400, r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#, Kind::ContextOverflow);
        check(400, r#"{"error":{"message":"messages: roles must alternate"}}"#, Kind::BadRequest);
    }

    #[test]
    fn used_up_money_is_not_a_rate_limit() {
        check(429, r#"{"error":{"code":"insufficient_quota","message":"x"}}"#, Kind::Quota);
        check(429, r#"{"error":{"message":"You exceeded your current quota, please check"}}"#, Kind::Quota);
        check(400, r#"{"error":{"message":"Your credit balance is too low to access the API"}}"#, Kind::Quota);
        check(429, r#"{"error":{"message":"slow down"}}"#, Kind::RateLimited);
    }

    #[test]
    fn errors_in_streams_have_kinds() {
        let check = |error: Value, kind| assert_eq!(from_stream(&error).kind, kind, "{error}");
        check(serde_json::json!({"type": "overloaded_error"}), Kind::Overloaded);
        check(serde_json::json!({"type": "api_error"}), Kind::Server);
        check(serde_json::json!({"type": "never heard of"}), Kind::Server);
        check(serde_json::json!({"code": 429, "message": "slow"}), Kind::RateLimited);
        check(serde_json::json!({"code": "context_length_exceeded"}), Kind::ContextOverflow);
        check(serde_json::json!("a plain string"), Kind::Server);
    }

    #[test]
    fn refused_reasoning_is_recognised() {
        for message in [
            "messages.1.content.0: Invalid `signature` in `thinking` block",
            "The encrypted content gAAA...Rg== could not be verified.",
            "Encrypted content could not be decrypted or parsed.",
            "Thought signature is not valid.",
        ] {
            let body = serde_json::json!({"error": {"type": "invalid_request_error", "message": message}}).to_string();
            assert!(refuses_own_reasoning(&from_status(400, WaitHeaders::default(), &body)), "{message}");
            assert!(!refuses_own_reasoning(&from_status(500, WaitHeaders::default(), &body)), "{message}");
        }
        for message in ["thinking.budget_tokens: must be at least 1024", "messages: roles must alternate"] {
            assert!(!refuses_own_reasoning(&ProviderError::new(Kind::BadRequest, message)), "{message}");
        }
    }

    #[test]
    fn waiting_times_are_read_from_words() {
        assert_eq!(wait_in_words("Rate limit reached. Please try again in 11.054s. Visit"), Some(11_054));
        assert_eq!(wait_in_words("Please try again in 120ms."), Some(120));
        assert_eq!(wait_in_words("try again in 3 seconds"), Some(3000));
        for nonsense in ["try again in a while", "try again in 6m0s", "later", "try again in ..s"] {
            assert_eq!(wait_in_words(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn waiting_times_are_read() {
        let wait = |retry_after, retry_after_ms, date| wait_ms(WaitHeaders { retry_after_ms, retry_after, date });
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wait(Some("7"), None, None), Some(7000));
        assert_eq!(wait(Some("0.25"), None, None), Some(250));
        assert_eq!(wait(Some("7"), Some("120"), None), Some(120));
        assert_eq!(wait(Some("Sun, 06 Nov 1994 08:50:07 GMT"), None, Some(date)), Some(30_000));
        assert_eq!(wait(Some("Sun, 06 Nov 1994 08:40:00 GMT"), None, Some(date)), None);
        assert_eq!(wait(Some("Mon, 07 Nov 1994 08:49:37 GMT"), None, None), None);
        for nonsense in ["-3", "soon", "NaN", "Sun, 99 Foo", ""] {
            assert_eq!(wait(Some(nonsense), None, Some(date)), None, "{nonsense}");
        }
    }

    #[test]
    fn dates_count_from_the_epoch() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Tue, 29 Feb 2028 12:00:00 GMT"), Some(1_835_438_400));
    }

    #[test]
    fn messages_are_bounded_and_plain() {
        let body = serde_json::json!({"error": {"message": format!("a\u{1b}[31m\n{}", "x".repeat(9000))}}).to_string();
        let message = from_status(400, WaitHeaders::default(), &body).message;
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS + 1);
        assert!(!message.chars().any(char::is_control));
    }
}
