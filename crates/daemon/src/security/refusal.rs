//! Combinations that are refused at the start, because no other defence makes them good.

use types::{Failure, FailureKind, Invariant};

use crate::Config;

/// Parts of names that vendors give to their small models.
const SMALL: &[&str] = &[
    "mini", "nano", "tiny", "small", "haiku", "lite", "flash-8b", "gemma", "phi-", "-1b", "-2b", "-3b", "-4b", "-7b",
    "-8b", "-9b", "-12b", "-13b", "-14b", ":1b", ":2b", ":3b", ":4b", ":7b", ":8b", ":9b", ":12b", ":13b", ":14b",
];

/// Whether a model's name is that of a small one, which obeys whoever spoke last. The name is all there is to go by; the
/// owner can say otherwise with `trust_small_model`.
pub(crate) fn is_small(model: &str) -> bool {
    let name = model.to_ascii_lowercase();
    let is_part = |part: &str| {
        let at = name.match_indices(part);
        // `gemini` is not `mini`, and `-14b` is not `-4b`.
        at.into_iter().any(|(start, found)| {
            let before = name[..start].chars().next_back();
            let after = name[start + found.len()..].chars().next();
            let begins = found.starts_with(['-', ':']) || before.is_none_or(|c| !c.is_ascii_alphanumeric());
            begins && after.is_none_or(|c| !c.is_ascii_alphanumeric() || found.ends_with('-'))
        })
    };
    SMALL.iter().any(|part| is_part(part))
}

/// Whether commands or tools of this configuration reach the web.
pub(crate) fn has_web(config: &Config) -> bool {
    let _ = config;
    false // TMP
}

/// Refuses what must not start. `is_strong` is whether the sandbox held against its own attacks and is bounded as a whole.
pub(crate) fn refuse_unsafe(config: &Config, is_strong: bool) -> Result<(), Failure> {
    if Invariant::UnsafeRefuses.is_broken() {
        return Ok(());
    }
    let Some(model) = config.agent.model.as_deref() else { return Ok(()) };
    if is_small(model) && has_web(config) && !is_strong {
        return Err(Failure {
            kind: FailureKind::Config,
            error: format!(
                "`{model}` is a small model, workspaces may reach the web, and the sandbox is not strong: whoever writes a \
                 page would command this machine's agent"
            ),
            hint: Some(
                "change one of the three: a larger model under [agent], no [workspaces.NAME.egress], or a sandbox that \
                 holds and is bounded (`factotum doctor --only sandbox` says what is missing)"
                    .to_owned(),
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_are_known_by_their_names() {
        for small in ["lab/tiny-3b", "openai/gpt-5-mini", "anthropic/claude-haiku-4", "ollama/qwen3:8b", "x/phi-4"] {
            assert!(is_small(small), "{small}");
        }
        for large in ["google/gemini-3-pro", "anthropic/claude-opus-4", "x/qwen-235b", "x/llama-70b", "x/mixtral-8x22b"]
        {
            assert!(!is_small(large), "{large}");
        }
    }
}
