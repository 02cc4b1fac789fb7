//! The owner's settings: what is missing, and what is wider than it should be.

use policy::ToolRule;

use crate::{
    Config,
    security::{Finding, Severity},
};

/// Looks at the settings.
pub(super) fn run(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(money(config));
    findings.extend(guests(config));
    findings.extend(mounts(config));
    findings.extend(environment(config));
    findings.extend(approvals(config));
    findings.extend(shipping(config));
    findings
}

fn money(config: &Config) -> Option<Finding> {
    let budget = &config.budget;
    let has_model = config.agent.model.is_some();
    (has_model && (budget.task_usd.is_none() || (budget.day_usd.is_none() && budget.month_usd.is_none()))).then(|| {
        Finding::new(
            "budget.no-cap",
            Severity::Medium,
            "there is no cap on what a task, or a day, may cost",
            "a loop, yours or an attacker's, spends until your vendor stops it",
            "set `task_usd` and `day_usd` under [budget], and a limit at the vendor",
        )
    })
}

fn guests(config: &Config) -> Vec<Finding> {
    let crowded = config.channels.telegram.iter().filter(|(_, bot)| bot.allow.len() > 1);
    let finding = |(name, bot): (&String, &channels::telegram::Config)| {
        Finding::new(
            &format!("channels.telegram.{name}.guests"),
            Severity::Low,
            format!("{} people beside you may use this bot", bot.allow.len() - 1),
            "a guest's stolen account gives the model work at your cost; guests cannot approve",
            format!("keep only those you need in `allow` under [channels.telegram.{name}]"),
        )
    };
    crowded.map(finding).collect()
}

fn mounts(config: &Config) -> Vec<Finding> {
    let broad = config.sandbox.read_only.iter().filter(|path| path.components().count() <= 3);
    let finding = |path: &std::path::PathBuf| {
        Finding::new(
            "sandbox.broad-mount",
            Severity::Low,
            format!("commands may read all of {}", path.display()),
            "whatever lies there, and whatever will be put there, can be read by the model",
            "name the directory that is needed, such as ~/.rustup/toolchains/stable",
        )
    };
    broad.map(finding).collect()
}

fn environment(config: &Config) -> Vec<Finding> {
    let sounds_secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"].iter().any(|part| name.contains(part))
    };
    let named = config.sandbox.env.keys().filter(|name| sounds_secret(name));
    let finding = |name: &String| {
        Finding::new(
            "sandbox.env-secret",
            Severity::High,
            format!("`{name}` under [sandbox.env] sounds like a secret"),
            "every command prints it, and the model reads what commands print",
            format!("remove it, revoke the value, and store the new one with `factotum secret set` and `--env {name}`"),
        )
    };
    named.map(finding).collect()
}

fn approvals(config: &Config) -> Option<Finding> {
    let long = config.agent.approval_timeout_s > 24 * 3_600;
    let exec = config.tools.get("exec") == Some(&ToolRule::Ask);
    long.then(|| {
        Finding::new(
            "approvals.long",
            if exec { Severity::Medium } else { Severity::Low },
            format!("an approval waits for {} h", config.agent.approval_timeout_s / 3_600),
            "a question from yesterday is answered without remembering what it was about",
            "set `approval_timeout_s` under [agent] to an hour or less",
        )
    })
}

/// Whoever becomes this user can rewrite the whole home, the log with it; a copy elsewhere is out of reach.
fn shipping(config: &Config) -> Option<Finding> {
    let is_used = config.agent.model.is_some();
    (is_used && config.audit.ship.is_empty()).then(|| {
        Finding::new(
            "audit.not-shipped",
            Severity::Low,
            "the audit log is on this machine alone",
            "whoever takes over the account removes the traces with it",
            "add a target under [audit.ship.NAME]: a directory that another machine fetches, syslog, or a web server",
        )
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::*;

    fn ids(text: &str) -> Vec<String> {
        let config = Config::parse(text, Path::new("config.toml")).unwrap();
        run(&config).into_iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn the_defaults_have_no_findings() {
        assert!(ids("").is_empty());
    }

    #[test]
    fn wide_settings_are_found() {
        let tools = tempfile::tempdir_in("/tmp").unwrap();
        let text = "[sandbox]\nread_only = [\"TOOLS\"]\n[sandbox.env]\nGITHUB_TOKEN = \"x\"\nLANG = \"C\"\n\
                    [channels.telegram.home]\ntoken = \"telegram\"\nallow = [1, 2]\n[agent]\napproval_timeout_s = 200000\n";
        let text = text.replace("TOOLS", &tools.path().display().to_string());
        assert_eq!(
            ids(&text),
            ["channels.telegram.home.guests", "sandbox.broad-mount", "sandbox.env-secret", "approvals.long"]
        );
    }
}
