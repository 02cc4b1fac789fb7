//! Models: a weak one obeys whoever spoke last, so where one meets the web, everything rests on the sandbox.

use crate::{
    Config,
    security::{
        Finding, Severity,
        refusal::{has_web, is_small},
    },
};

/// Looks at the models.
pub(super) fn run(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(model) = config.agent.model.as_deref().filter(|model| is_small(model)) {
        let web = has_web(config);
        findings.push(Finding::new(
            "models.small",
            if web { Severity::Medium } else { Severity::Info },
            format!("`{model}` is a small model{}", if web { ", and workspaces may reach the web" } else { "" }),
            "small models follow instructions in what they read more readily than large ones",
            "use a larger model under [agent], or keep the web out of its workspaces",
        ));
    }
    findings
}
