//! How a turn of Claude Code ended. Its exit code and the word `success` say nothing by themselves.

use serde_json::Value;
use types::{MicroUsd, Usage};

use crate::{CoderEnd, Totals, Trouble, text::head};

/// The most bytes of the last words and of an error.
const WORDS: usize = 16_000;

/// The end that a `result` line tells. `interrupted`: we had asked for it.
pub(super) fn of(result: &Value, interrupted: bool) -> CoderEnd {
    let reason = result["terminal_reason"].as_str().unwrap_or_default();
    let subtype = result["subtype"].as_str().unwrap_or_default();
    let failed = result["is_error"] == true || subtype != "success";
    let text = head(result["result"].as_str().unwrap_or_default(), WORDS).to_owned();
    if matches!(reason, "aborted_streaming" | "aborted_tools") || (failed && interrupted) {
        return CoderEnd::Interrupted;
    }
    if !failed && matches!(reason, "" | "completed") {
        return match result["stop_reason"].as_str() {
            Some("refusal") => CoderEnd::Failed { trouble: Trouble::Refused, message: text },
            _ => CoderEnd::Done { text },
        };
    }
    let message = message(result, &text, reason, subtype);
    let status = result["api_error_status"].as_u64();
    CoderEnd::Failed { trouble: trouble(subtype, reason, status, &message), message }
}

fn message(result: &Value, text: &str, reason: &str, subtype: &str) -> String {
    let errors: Vec<&str> = result["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let errors = errors.join("; ");
    let said = [text, &errors, reason, subtype].into_iter().find(|said| !said.is_empty());
    head(said.unwrap_or("it did not say why"), WORDS).to_owned()
}

fn trouble(subtype: &str, reason: &str, status: Option<u64>, message: &str) -> Trouble {
    match (subtype, reason) {
        ("error_max_turns" | "error_max_budget_usd", _) | (_, "max_turns" | "budget_exhausted") => {
            return Trouble::OwnLimit;
        }
        (_, "prompt_too_long" | "blocking_limit" | "rapid_refill_breaker") => return Trouble::Overflow,
        _ => {}
    }
    let has = |words: &[&str]| words.iter().any(|word| message.to_ascii_lowercase().contains(word));
    if has(&["no conversation found"]) {
        return Trouble::Lost;
    }
    match status {
        Some(401 | 403) => Trouble::Auth,
        Some(402) => Trouble::Quota,
        _ if has(&["credit balance", "usage limit", "insufficient_quota", "out of credits"]) => Trouble::Quota,
        Some(429) => Trouble::RateLimited,
        Some(status) if status >= 500 => Trouble::Server,
        Some(413) => Trouble::Overflow,
        _ if has(&["prompt is too long"]) => Trouble::Overflow,
        _ if has(&["not logged in", "/login", "invalid api key", "authentication"]) => Trouble::Auth,
        None if has(&[
            "unable to connect",
            "econn",
            "enotfound",
            "eai_again",
            "network",
            "socket",
            "timed out",
            "connection",
        ]) =>
        {
            Trouble::Network
        }
        _ if has(&["unable to respond to this request", "can't help with this", "/legal/aup", "usage policy"]) => {
            Trouble::Refused
        }
        _ if has(&["overloaded", "internal server error"]) => Trouble::Server,
        _ if subtype == "error_during_execution" => Trouble::Crashed,
        _ => Trouble::Other,
    }
}

/// What a `result` line, or an answer about usage, says that the conversation has used. None when it says nothing.
pub(super) fn totals(said: &Value) -> Option<Totals> {
    let models = [&said["modelUsage"], &said["model_usage"]].into_iter().find_map(Value::as_object)?;
    let cost = said["total_cost_usd"].as_f64().map(MicroUsd::from_dollars);
    let usage = models.values().fold(Usage::default(), |sum, model| {
        let count = |key: &str| model[key].as_u64().unwrap_or(0);
        sum.plus(Usage {
            input: count("inputTokens"),
            cache_read: count("cacheReadInputTokens"),
            cache_write: count("cacheCreationInputTokens"),
            cache_write_1h: 0,
            output: count("outputTokens"),
            reasoning: 0,
        })
    });
    Some(Totals { usage, cost })
}

/// What the second of two totals lacks of the first.
pub(super) fn without(all: Totals, part: Totals) -> Totals {
    let (all_usage, part_usage) = (all.usage, part.usage);
    Totals {
        usage: Usage {
            input: all_usage.input.saturating_sub(part_usage.input),
            cache_read: all_usage.cache_read.saturating_sub(part_usage.cache_read),
            cache_write: all_usage.cache_write.saturating_sub(part_usage.cache_write),
            cache_write_1h: 0,
            output: all_usage.output.saturating_sub(part_usage.output),
            reasoning: all_usage.reasoning.saturating_sub(part_usage.reasoning),
        },
        cost: all.cost.map(|cost| cost.minus(part.cost.unwrap_or_default())),
    }
}
