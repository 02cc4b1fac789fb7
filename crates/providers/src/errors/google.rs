//! What Google's errors tell beside their text (<https://google.aip.dev/193>): why, how long to wait, and which quota is used up.

use serde_json::Value;
use types::ProviderErrorKind as Kind;

/// The most details that are read.
const MAX_DETAILS: usize = 64;

/// The details of an error, as far as they mean something to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// The kind of error, where the details alone tell it.
    pub kind: Option<Kind>,
    /// How long to wait, in milliseconds.
    pub retry_delay_ms: Option<u64>,
}

impl Details {
    /// Reads the list of details; anything else has none.
    pub fn read(details: &Value) -> Self {
        let mut read = Self::default();
        let mut quotas = Vec::new();
        for detail in details.as_array().into_iter().flatten().take(MAX_DETAILS) {
            if detail["reason"] == "API_KEY_INVALID" {
                read.kind = Some(Kind::Auth);
            }
            read.retry_delay_ms = read.retry_delay_ms.or_else(|| milliseconds(detail["retryDelay"].as_str()?));
            quotas.extend(detail["violations"].as_array().into_iter().flatten().take(MAX_DETAILS));
        }
        let waits = read.retry_delay_ms.is_some() || !quotas.is_empty();
        read.kind = read.kind.or_else(|| waits.then(|| exhausted(&quotas)).flatten());
        read
    }
}

/// A quota that is counted by the day, or of which the account has nothing, does not come back while we wait. The vendor gives a
/// short wait all the same.
fn exhausted(quotas: &[&Value]) -> Option<Kind> {
    let used_up = |quota: &Value| {
        let named = |key: &str| quota[key].as_str().unwrap_or_default().to_lowercase();
        let daily = ["quotaId", "quotaMetric"]
            .into_iter()
            .map(named)
            .any(|name| name.contains("perday") || name.contains("per_day"));
        daily || quota["quotaValue"] == "0"
    };
    let counted = quotas.iter().any(|quota| quota["quotaId"].is_string() || quota["quotaMetric"].is_string());
    match quotas.iter().any(|quota| used_up(quota)) {
        true => Some(Kind::Quota),
        false => (counted || quotas.is_empty()).then_some(Kind::RateLimited),
    }
}

/// A duration as Google writes it: seconds with a fraction, and an `s`.
fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    // The cast saturates; what is not a number or negative is no waiting time.
    (seconds >= 0.0).then_some((seconds * 1000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(details: Value, kind: Option<Kind>, retry_delay_ms: Option<u64>) {
        assert_eq!(Details::read(&details), Details { kind, retry_delay_ms }, "{details}");
    }

    #[test]
    fn quotas_by_the_day_are_told_from_those_by_the_minute() {
        let quota =
            |id: &str| json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]});
        let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20.044661791s"});
        let minute = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier");
        let day = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
        check(json!([minute, retry]), Some(Kind::RateLimited), Some(20_045));
        check(json!([minute, day, retry]), Some(Kind::Quota), Some(20_045));
        check(json!([retry]), Some(Kind::RateLimited), Some(20_045));
        check(json!([{"violations": [{"quotaMetric": "x/per_minute", "quotaValue": "0"}]}]), Some(Kind::Quota), None);
        check(json!([{"violations": [{"quotaMetric": "x/requests_per_model_per_day"}]}]), Some(Kind::Quota), None);
    }

    #[test]
    fn other_details_say_nothing_about_quotas() {
        check(json!([{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}]), Some(Kind::Auth), None);
        check(json!([{"fieldViolations": [{"field": "contents"}]}]), None, None);
        check(json!([{"violations": [{"subject": "x"}]}]), None, None);
        check(json!([{"links": []}]), None, None);
        for nonsense in [json!(null), json!("x"), json!([1, null]), json!([{"retryDelay": "soon"}])] {
            check(nonsense, None, None);
        }
    }
}
