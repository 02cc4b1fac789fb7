//! Rules that only show when the parts of the configuration are seen together.

use channels::telegram;
use sandbox::SandboxError;
use types::WorkspaceName;

use super::{Config, ShipConfig, coders};
use crate::security::is_small;

/// `provider/model`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The name under `[providers]`.
    pub provider: &'a str,
    /// The vendor's name of the model; it may hold slashes.
    pub model: &'a str,
}

impl<'a> ModelName<'a> {
    /// Splits at the first slash; none when a part is empty.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (provider, model) = text.split_once('/')?;
        (!provider.is_empty() && !model.is_empty()).then_some(Self { provider, model })
    }
}

/// A broken rule, with the key that breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key's path, such as `["agent", "model"]`.
    pub key: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

pub(super) fn problem(key: &[&str], message: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem { key: key.iter().map(|part| (*part).to_owned()).collect(), message: message.into(), hint: hint.into() }
}

/// The first broken rule, if any.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    names(config)?;
    model(config)?;
    workspaces(config)?;
    channels(config)?;
    numbers(config)?;
    prices(config)?;
    sandbox(config)?;
    audit(config)?;
    network(config)?;
    config.coders.iter().try_for_each(|(name, coder)| coders::check(name, coder))?;
    own_api(config)?;
    if !config.api.listen.ip().is_loopback() {
        return Err(problem(
            &["api", "listen"],
            format!("{} is not a loopback address", config.api.listen),
            "use 127.0.0.1:PORT; to reach the API from elsewhere, tunnel to it (ssh -L)",
        ));
    }
    Ok(())
}

/// Names become directories, channel ids and parts of messages, so they all have one form.
fn names(config: &Config) -> Result<(), Problem> {
    let tables: [(&[&str], Vec<&String>); 5] = [
        (&["providers"], config.providers.keys().collect()),
        (&["channels", "telegram"], config.channels.telegram.keys().collect()),
        (&["workspaces"], config.workspaces.keys().collect()),
        (&["coders"], config.coders.keys().collect()),
        (&["audit", "ship"], config.audit.ship.keys().collect()),
    ];
    for (table, keys) in tables {
        for key in keys {
            // Workspace, provider and channel names share one form.
            if let Err(error) = WorkspaceName::new(key.as_str()) {
                let path: Vec<&str> = table.iter().copied().chain([key.as_str()]).collect();
                return Err(problem(&path, error.to_string(), "choose another name"));
            }
        }
    }
    Ok(())
}

fn model(config: &Config) -> Result<(), Problem> {
    let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
    let Some(text) = &config.agent.model else {
        let Some(first) = names.first() else { return Ok(()) };
        return Err(problem(
            &["providers", first],
            "a provider is configured but no model is chosen",
            format!("add `model = \"{first}/MODEL\"` under [agent]"),
        ));
    };
    named(config, "model", text)?;
    let lists = [
        ("fallback", &config.agent.fallback),
        ("reader", &config.agent.reader),
        ("summariser", &config.agent.summariser),
    ];
    for (key, list) in lists {
        for name in list {
            named(config, key, name)?;
        }
    }
    let weak = config.agent.fallback.iter().find(|name| is_small(name) && !is_small(text));
    weak.map_or(Ok(()), |weak| {
        let why = format!(
            "`{weak}` is a small model, and `{text}` is not: a task that may act is not handed to a weaker model"
        );
        Err(problem(&["agent", "fallback"], why, "name a larger one, or leave the list empty"))
    })
}

/// That a text names a model of a provider that is configured.
fn named(config: &Config, key: &str, text: &str) -> Result<(), Problem> {
    let Some(model) = ModelName::parse(text) else {
        let hint = "write it as `provider/model`, such as `lab/model-1`";
        return Err(problem(&["agent", key], format!("`{text}` does not name a provider and a model"), hint));
    };
    if config.providers.contains_key(model.provider) {
        return Ok(());
    }
    let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
    let hint = if names.is_empty() {
        format!("add a table [providers.{}] with `api` and `base_url`", model.provider)
    } else {
        format!("use one of: {}; or add a table [providers.{}]", names.join(", "), model.provider)
    };
    Err(problem(&["agent", key], format!("there is no provider `{}`", model.provider), hint))
}

fn workspaces(config: &Config) -> Result<(), Problem> {
    for (name, workspace) in &config.workspaces {
        if !workspace.path.is_absolute() {
            let message = format!("the path `{}` is relative", workspace.path.display());
            return Err(problem(&["workspaces", name, "path"], message, "write the whole path, starting with /"));
        }
    }
    let Some(chosen) = &config.agent.workspace else { return Ok(()) };
    if config.workspaces.contains_key(chosen.as_str()) {
        return Ok(());
    }
    let names: Vec<&str> = config.workspaces.keys().map(String::as_str).collect();
    let hint = if names.is_empty() {
        format!("add a table [workspaces.{chosen}] with a `path`")
    } else {
        format!("use one of: {}", names.join(", "))
    };
    Err(problem(&["agent", "workspace"], format!("there is no workspace `{chosen}`"), hint))
}

fn channels(config: &Config) -> Result<(), Problem> {
    for (name, bot) in &config.channels.telegram {
        if let Err(error) = bot.check() {
            let (key, hint) = telegram_key(&error);
            return Err(problem(&["channels", "telegram", name, key], error.to_string(), hint));
        }
        // Two loops on one token would take each other's messages.
        let twin = config.channels.telegram.iter().find(|(other, config)| *other < name && config.token == bot.token);
        if let Some((other, _)) = twin {
            return Err(problem(
                &["channels", "telegram", name, "token"],
                format!("channels `{other}` and `{name}` use the same token"),
                "make a bot of its own for each channel, or remove one of them",
            ));
        }
    }
    Ok(())
}

fn sandbox(config: &Config) -> Result<(), Problem> {
    let Err(error) = config.sandbox.check() else { return Ok(()) };
    let hint = error.hint().unwrap_or_else(|| "remove the line to use the default".to_owned());
    let key = if let SandboxError::Setting { setting, .. } = &error { *setting } else { "read_only" };
    Err(problem(&["sandbox", key], error.to_string(), hint))
}

fn network(config: &Config) -> Result<(), Problem> {
    for (name, workspace) in &config.workspaces {
        if let Err(error) = workspace.egress.check() {
            let hint = "mend or remove the rule; `factotum config example` shows some";
            return Err(problem(&["workspaces", name, "egress"], error.to_string(), hint));
        }
    }
    if let Err(prefix) = config.network.nat64() {
        let message = format!("`{prefix}` is not a NAT64 prefix");
        return Err(problem(&["network", "nat64_prefixes"], message, "write it like 2001:db8:64::/96"));
    }
    let web = egress::EgressConfig {
        rules: config.web.rules(),
        extra_ca: config.web.extra_ca.clone(),
        ..egress::EgressConfig::default()
    };
    if let Err(error) = web.check() {
        return Err(problem(&["web"], error.to_string(), "hosts are names, `*.example.com` or `*`"));
    }
    Ok(())
}

/// No client of ours speaks to our own API: a vendor or a messenger that is really ourselves would feed the agent its own
/// words.
fn own_api(config: &Config) -> Result<(), Problem> {
    let refuse = |key: &[&str]| {
        Err(problem(key, "this is the address of the agent's own API", "write the other service's address"))
    };
    for (name, provider) in &config.providers {
        if egress::leads_to(&provider.base_url, config.api.listen) {
            return refuse(&["providers", name, "base_url"]);
        }
    }
    for (name, coder) in &config.coders {
        if coder.base_url.as_ref().is_some_and(|address| egress::leads_to(address, config.api.listen)) {
            return refuse(&["coders", name, "base_url"]);
        }
    }
    for (name, channel) in &config.channels.telegram {
        if egress::leads_to(&channel.api_base, config.api.listen) {
            return refuse(&["channels", "telegram", name, "api_base"]);
        }
    }
    for (name, target) in &config.audit.ship {
        if let ShipConfig::Https { url, .. } = target
            && egress::leads_to(url, config.api.listen)
        {
            return refuse(&["audit", "ship", name, "url"]);
        }
    }
    Ok(())
}

fn audit(config: &Config) -> Result<(), Problem> {
    let audit = &config.audit;
    if audit.require_shipping && audit.ship.is_empty() {
        let hint = "add a table [audit.ship.NAME], or remove the line";
        return Err(problem(&["audit", "require_shipping"], "no target is configured", hint));
    }
    for (name, target) in &audit.ship {
        let at = |key: &str, message: &str, hint: &str| Err(problem(&["audit", "ship", name, key], message, hint));
        match target {
            ShipConfig::Directory { path, segment_mb } => {
                if !path.is_absolute() {
                    return at("path", "the path is relative", "write the whole path, starting with /");
                }
                if *segment_mb == 0 {
                    return at("segment_mb", "must not be 0", "remove the line to use the default");
                }
            }
            ShipConfig::Syslog { tls, ca, .. } => {
                if ca.is_some() && !tls {
                    return at("ca", "authorities are only used with TLS", "remove `tls = false`, or this line");
                }
            }
            ShipConfig::Https { url, .. } => {
                if let Err(error) = egress::check_address(url) {
                    return at("url", &error.message, "an address is like https://logs.example.org/ingest");
                }
                let plain = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
                if plain.is_some_and(|host| !matches!(host, "127.0.0.1" | "localhost")) {
                    return at("url", "everybody on the way could read the log", "use https");
                }
            }
        }
    }
    Ok(())
}

/// The key that a mistake of a Telegram channel is about, and what to do.
fn telegram_key(error: &telegram::ConfigError) -> (&'static str, &'static str) {
    match error {
        telegram::ConfigError::NobodyAllowed => {
            ("allow", "add your own numeric Telegram id: `allow = [123456789]`; the first one is the owner")
        }
        telegram::ConfigError::NotAUser { .. } => ("allow", "@userinfobot tells you your numeric id"),
        telegram::ConfigError::PollTimeout { .. } => ("poll_timeout_s", "remove the line to use the default"),
        telegram::ConfigError::ApiBase { .. } => ("api_base", "remove the line to use Telegram's own server"),
    }
}

/// A price below zero would count as nothing, and money limits would not hold.
fn prices(config: &Config) -> Result<(), Problem> {
    for (name, provider) in &config.providers {
        let older = provider.prices.iter().map(|(model, prices)| (["providers", name, "prices", model], prices));
        let newer = provider
            .models
            .iter()
            .filter_map(|(model, facts)| Some((["providers", name, "models", model], facts.prices.as_ref()?)));
        for (key, prices) in older.chain(newer) {
            if !prices.are_amounts() {
                return Err(problem(&key, "is not a price per million tokens", "write dollars, such as 3.0"));
            }
        }
    }
    Ok(())
}

fn numbers(config: &Config) -> Result<(), Problem> {
    let money = [
        ("task_usd", config.budget.task_usd),
        ("day_usd", config.budget.day_usd),
        ("month_usd", config.budget.month_usd),
    ];
    for (key, value) in money {
        if value.is_some_and(|dollars| !dollars.is_finite() || dollars < 0.0) {
            return Err(problem(&["budget", key], "is not an amount of money", "write dollars, such as 5.0"));
        }
    }
    let alarms = &config.alarms;
    let amounts = [
        ("multiple", Some(alarms.multiple)),
        ("task_usd", alarms.task_usd),
        ("hour_usd", alarms.hour_usd),
        ("unanswered_h", Some(alarms.unanswered_h)),
        ("silent_h", alarms.silent_h),
        ("unattended_usd", alarms.unattended_usd),
    ];
    for (key, value) in amounts {
        if value.is_some_and(|value| !(0.0..1e9).contains(&value)) {
            return Err(problem(&["alarms", key], "is not a number that makes sense here", "write one such as 5.0"));
        }
    }
    let positive = [
        ("budget", "steps", u64::from(config.budget.steps)),
        ("agent", "max_output_tokens", u64::from(config.agent.max_output_tokens)),
        ("agent", "approval_timeout_s", config.agent.approval_timeout_s),
        ("jobs", "at_once", config.jobs.at_once as u64),
        ("shells", "at_once", config.shells.at_once as u64),
        ("snapshots", "keep", config.snapshots.keep as u64),
        ("audit", "rotate_mb", config.audit.rotate_mb),
        ("audit", "max_lag_s", config.audit.max_lag_s),
        ("web", "max_kib", config.web.max_kib),
        ("web", "timeout_s", config.web.timeout_s),
    ];
    for (table, key, value) in positive {
        if value == 0 {
            return Err(problem(&[table, key], format!("`{key}` must not be 0"), "remove the line to use the default"));
        }
    }
    if config.agent.context_tokens < 4_096 || config.agent.context_tokens <= u64::from(config.agent.max_output_tokens) {
        let message = format!("a context of {} tokens is too small", config.agent.context_tokens);
        let hint = "it must be at least 4096 and larger than `max_output_tokens`";
        return Err(problem(&["agent", "context_tokens"], message, hint));
    }
    Ok(())
}
