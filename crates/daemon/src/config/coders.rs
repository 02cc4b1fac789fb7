//! `[coders]`: the coding agents that jobs may be given to, and what each needs to reach its vendor. What follows from it
//! for the network stands in `network::vendor`.

use std::{collections::BTreeMap, path::PathBuf};

use coders::StallLimits;
use egress::Preset;
use schemars::JsonSchema;
use serde::Deserialize;
use types::{Prices, SecretName};

use super::check::{Problem, problem};

/// The kinds of coding agents that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CoderKind {
    /// Claude Code, over its bidirectional stream.
    Claude,
    /// Codex, over its app server.
    Codex,
    /// opencode, over its HTTP server.
    Opencode,
    /// forge, one prompt to a program.
    Forge,
    /// Any program that speaks the Agent Client Protocol.
    Acp,
    /// Any program that takes a prompt, works and ends.
    Oneshot,
}

impl CoderKind {
    /// The kind that a name stands for by itself.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "claude" => Some(Self::Claude),
            "codex" => Some(Self::Codex),
            "opencode" => Some(Self::Opencode),
            "forge" => Some(Self::Forge),
            _ => None,
        }
    }

    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Forge => "forge",
            Self::Acp => "acp",
            Self::Oneshot => "oneshot",
        }
    }

    /// Whether the owner says which program it is.
    fn takes_command(self) -> bool {
        match self {
            Self::Acp | Self::Oneshot => true,
            Self::Claude | Self::Codex | Self::Opencode | Self::Forge => false,
        }
    }
}

/// Where Codex's models are for whoever is logged in with ChatGPT.
const CHATGPT: &str = "https://chatgpt.com/backend-api/codex";

/// How the vendor wants the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CoderAuth {
    /// A key of the vendor's interface, billed by use.
    #[default]
    ApiKey,
    /// A token behind `Authorization: Bearer`, as vendors want it that speak Anthropic's interface without being it.
    Bearer,
    /// The token of a subscription, made by logging in once outside: for Claude Code what `claude setup-token` prints, for
    /// Codex the access token of a ChatGPT login.
    Subscription,
}

/// `[coders.NAME]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoderConfig {
    /// What kind it is: `claude`, `codex`, `opencode`, `forge`, `acp` or `oneshot`. By its name when absent.
    pub kind: Option<CoderKind>,
    /// The installed version, as `factotum coder list` shows it; the newest one when absent.
    pub version: Option<String>,
    /// A program of your own in place of an installed one, by its whole path. Sandboxes can read it and what it means
    /// when it is a link.
    pub program: Option<PathBuf>,
    /// The model, as the coding agent names it; its own choice when absent.
    pub model: Option<String>,
    /// The vendor of its models, by the name of the vendor's preset: `anthropic`, `openai`, … Claude Code's and Codex's own
    /// when absent.
    pub vendor: Option<Preset>,
    /// The name of the secret for the vendor. It must be bound to the vendor's host, and never enters a sandbox.
    pub secret: Option<SecretName>,
    /// How the vendor wants it: `api-key`, `bearer` or `subscription`.
    pub auth: CoderAuth,
    /// The account of a ChatGPT login, `account_id` in Codex's `auth.json`. For Codex with `auth = "subscription"`.
    pub account: Option<String>,
    /// The environment variable from which the coding agent takes its key; the vendor's usual one when absent. It holds a
    /// placeholder.
    pub variable: Option<String>,
    /// Another address of the vendor's interface, such as `https://llm.example.org/anthropic`. Only its model requests are
    /// allowed. An address with `http://` is looked for in your own network.
    pub base_url: Option<String>,
    /// Files in PEM with further certificate authorities that the vendor's server may be verified against.
    pub extra_ca: Vec<PathBuf>,
    /// More environment variables. No secrets: the coding agent can print them.
    pub env: BTreeMap<String, String>,
    /// The program and its arguments (`acp` and `oneshot` only). For `oneshot`, `{prompt}` stands for the task.
    pub command: Vec<String>,
    /// What a line of its output holds when it has succeeded (`oneshot` only), such as `Done`. Its exit code decides when absent.
    pub success: Option<String>,
    /// What each model costs, in US dollars per million tokens, where the coding agent does not say what it spent.
    pub prices: BTreeMap<String, Prices>,
    /// How long it may go on without progress.
    pub stall: StallLimits,
}

impl CoderConfig {
    /// What kind the coding agent of this name is; none where neither it nor its name says so.
    pub fn kind(&self, name: &str) -> Option<CoderKind> {
        self.kind.or_else(|| CoderKind::of_name(name))
    }

    /// Whose models it uses; none where only an address is known.
    pub fn vendor(&self, name: &str) -> Option<Preset> {
        let own = || match self.kind(name)? {
            CoderKind::Claude => Some(Preset::Anthropic),
            CoderKind::Codex => Some(Preset::Openai),
            CoderKind::Opencode | CoderKind::Forge | CoderKind::Acp | CoderKind::Oneshot => None,
        };
        self.vendor.or_else(own)
    }

    /// Where its vendor's interface is, if that is not where the vendor has it for everybody.
    pub fn address(&self, name: &str) -> Option<&str> {
        let is_chatgpt = self.kind(name) == Some(CoderKind::Codex) && self.auth == CoderAuth::Subscription;
        self.base_url.as_deref().or(is_chatgpt.then_some(CHATGPT))
    }

    /// The owner's variables for it.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let account = self.account.iter().map(|account| (coders::CHATGPT_ACCOUNT.to_owned(), account.clone()));
        self.env.clone().into_iter().chain(account).collect()
    }

    /// The variable in which the coding agent looks for its key.
    pub fn variable(&self, name: &str) -> Option<&str> {
        if let Some(variable) = &self.variable {
            return Some(variable);
        }
        match (self.kind(name)?, self.auth, self.vendor(name)) {
            (CoderKind::Claude, CoderAuth::Subscription, _) => Some("CLAUDE_CODE_OAUTH_TOKEN"),
            (CoderKind::Claude, CoderAuth::Bearer, _) => Some("ANTHROPIC_AUTH_TOKEN"),
            (CoderKind::Claude, CoderAuth::ApiKey, _) => Some("ANTHROPIC_API_KEY"),
            (CoderKind::Codex, CoderAuth::Subscription, _) => Some("CHATGPT_ACCESS_TOKEN"),
            (_, _, Some(vendor)) => usual_variable(vendor),
            (_, _, None) => None,
        }
    }
}

/// Where programs look for a vendor's key.
fn usual_variable(vendor: Preset) -> Option<&'static str> {
    match vendor {
        Preset::Anthropic => Some("ANTHROPIC_API_KEY"),
        Preset::Openai => Some("OPENAI_API_KEY"),
        Preset::Google => Some("GEMINI_API_KEY"),
        Preset::Deepseek => Some("DEEPSEEK_API_KEY"),
        Preset::Openrouter => Some("OPENROUTER_API_KEY"),
        Preset::Mistral => Some("MISTRAL_API_KEY"),
        Preset::Groq => Some("GROQ_API_KEY"),
        Preset::Xai => Some("XAI_API_KEY"),
        Preset::Moonshot => Some("MOONSHOT_API_KEY"),
        Preset::Rust | Preset::Node | Preset::Python | Preset::Debian | Preset::Github => None,
    }
}

/// The first broken rule of a coding agent's table.
pub(super) fn check(name: &str, coder: &CoderConfig) -> Result<(), Problem> {
    let at = |key: &str, message: &str, hint: &str| Err(problem(&["coders", name, key], message, hint));
    if name == "factotum" {
        return Err(problem(&["coders", name], "this name is our own loop's", "choose another name"));
    }
    let Some(kind) = coder.kind(name) else {
        let hint = "write claude, codex, opencode, forge, acp or oneshot";
        return at("kind", "the name does not tell which kind of coding agent this is", hint);
    };
    if kind.takes_command() == coder.command.is_empty() {
        let message = "`acp` and `oneshot` need a command, and the other kinds bring their own";
        return at("command", message, "write the program and its arguments, or remove the line");
    }
    if coder.program.as_ref().is_some_and(|program| !program.is_absolute()) {
        return at("program", "the path is relative", "write the whole path, starting with /");
    }
    if coder.program.is_some() && coder.version.is_some() {
        return at("version", "a program of your own has no installed version", "remove this line or `program`");
    }
    if coder.vendor.is_some_and(|vendor| !vendor.is_model_vendor()) {
        return at("vendor", "this preset is not a vendor of models", "write one such as anthropic or openai");
    }
    let is_chatgpt = kind == CoderKind::Codex && coder.auth == CoderAuth::Subscription;
    if coder.auth == CoderAuth::Subscription && kind != CoderKind::Claude && !is_chatgpt {
        let hint = "use a key of the vendor's interface";
        return at("auth", "only Claude Code and Codex have subscriptions that can be used here", hint);
    }
    if coder.account.is_some() != is_chatgpt {
        let message = "a ChatGPT login has an account, and nothing else does";
        return at("account", message, "write `account_id` of Codex's auth.json, or remove the line");
    }
    if coder
        .account
        .as_ref()
        .is_some_and(|account| account.is_empty() || !account.bytes().all(|b| b.is_ascii_graphic()))
    {
        return at("account", "this is no account", "copy `account_id` from Codex's auth.json");
    }
    if coder.secret.is_some() && coder.variable(name).is_none() {
        return at("variable", "it is not known where this coding agent looks for its key", "name its variable");
    }
    if coder.prices.values().any(|prices| !prices.are_amounts()) {
        return at("prices", "these are no prices per million tokens", "write dollars, such as 3.0");
    }
    let stall = &coder.stall;
    if [stall.starting_s, stall.thinking_s, stall.tool_s, stall.retrying_s].contains(&0) {
        return at("stall", "a limit of 0 would end it at once", "remove the line to use the default");
    }
    if coder.extra_ca.iter().any(|file| !file.is_absolute()) {
        return at("extra_ca", "a path is relative", "write the whole path, starting with /");
    }
    match crate::network::vendor_rules(name, coder) {
        Ok(_) => Ok(()),
        Err(why) => at("base_url", &why, "write the address as the vendor documents it"),
    }
}
