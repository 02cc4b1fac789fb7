//! Combinations that are refused at the start, because no other defence makes them good.

use policy::ToolRule;
use types::{Failure, FailureKind, Invariant};

use crate::{Config, WorkspaceConfig, api::views::CanaryView};

/// Parts of names that vendors give to their small models.
const SMALL: &[&str] = &["mini", "micro", "nano", "tiny", "small", "haiku", "lite", "gemma", "phi-"];

/// How many billions of parameters a small model has at most.
const SMALL_BILLIONS: f64 = 14.0;

/// Whether a model's name is that of a small one, which obeys whoever spoke last. The name is all there is to go by.
pub(crate) fn is_small(model: &str) -> bool {
    let name = model.to_ascii_lowercase();
    let is_part = |part: &str| {
        let at = name.match_indices(part);
        // `gemini` is not `mini`.
        at.into_iter().any(|(start, found)| {
            let before = name[..start].chars().next_back();
            let after = name[start + found.len()..].chars().next();
            let begins = before.is_none_or(|c| !c.is_ascii_alphanumeric());
            begins && after.is_none_or(|c| !c.is_ascii_alphanumeric() || found.ends_with('-'))
        })
    };
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let has_few = |word: &str| {
        word.strip_suffix('b').and_then(|size| size.parse().ok()).is_some_and(|size: f64| size <= SMALL_BILLIONS)
    };
    words.any(has_few) || SMALL.iter().any(|part| is_part(part))
}

/// Whether commands or tools of this configuration reach the web.
pub(crate) fn has_web(config: &Config) -> bool {
    let fetches = !config.web.hosts.is_empty() && config.tools.get("fetch") != Some(&ToolRule::Deny);
    let is_open = |workspace: &WorkspaceConfig| {
        !workspace.egress.presets.is_empty() || workspace.egress.rules.iter().any(|rule| !rule.deny)
    };
    fetches || config.workspaces.values().any(is_open)
}

/// Whether these settings are safe only with a strong sandbox, so that its self-test must come before the start.
pub(crate) fn needs_strong_sandbox(config: &Config) -> bool {
    config.agent.model.as_deref().is_some_and(is_small) && has_web(config)
}

/// Whether the sandbox held against its own attacks and is bounded as a whole.
pub(crate) fn is_strong(state: &CanaryView) -> bool {
    match state {
        CanaryView::Held { is_bounded, .. } => *is_bounded,
        CanaryView::Running | CanaryView::Failed { .. } => false,
    }
}

/// Refuses what must not start, or come into force while it runs.
pub(crate) fn refuse_unsafe(config: &Config, is_strong: bool) -> Result<(), Failure> {
    if Invariant::UnsafeRefuses.is_broken() || is_strong || !needs_strong_sandbox(config) {
        return Ok(());
    }
    let model = config.agent.model.as_deref().unwrap_or_default();
    Err(Failure {
        kind: FailureKind::Config,
        error: format!(
            "`{model}` is a small model, tools or commands may reach the web, and the sandbox is not strong: whoever writes a \
             page would command this machine's agent"
        ),
        hint: Some(
            "change one of the three: a larger model under [agent]; no web (`hosts = []` under [web], no \
             [workspaces.NAME.egress]); or a sandbox that holds and is bounded (`factotum doctor --only sandbox` says what \
             is missing)"
                .to_owned(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_models_are_known_by_their_names() {
        for small in [
            "lab/tiny-3b",
            "openai/gpt-5-mini",
            "anthropic/claude-haiku-4",
            "ollama/qwen3:8b",
            "x/phi-4",
            "x/qwen3:0.6b",
            "x/qwen2.5-1.5b-instruct",
            "x/gemini-flash-8b",
            "x/nova-micro",
            "x/llama-14b",
        ] {
            assert!(is_small(small), "{small}");
        }
        for large in [
            "google/gemini-3-pro",
            "anthropic/claude-opus-4",
            "x/qwen-235b",
            "x/llama-70b",
            "x/mixtral-8x22b",
            "x/qwen3-30b-a3b",
            "x/gpt-oss-20b",
            "x/v0.5b2",
        ] {
            assert!(!is_small(large), "{large}");
        }
    }
}
