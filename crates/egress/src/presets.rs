//! Ready-made rules, as data: narrow enough that a program which obeys an attacker gains little. Registries are read on
//! known path shapes without bodies and with short URLs; model vendors are reached only with a secret of the vault, so that
//! nobody's own key makes a drop box of them. Nothing is on unless the owner switches it on.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::read_methods,
    path::PathPattern,
    rules::{Caps, HostPattern, Methods, Rule},
};

/// A ready-made list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Crates from crates.io and toolchains of rustup.
    Rust,
    /// Packages from the npm registry, and Node itself.
    Node,
    /// Packages from PyPI.
    Python,
    /// Packages from Debian's archives.
    Debian,
    /// Reading public repositories at GitHub; writing with a secret that is bound to a repository.
    Github,
    /// Anthropic's models, with a secret.
    Anthropic,
    /// OpenAI's models, with a secret.
    Openai,
    /// Google's models, with a secret.
    Google,
    /// DeepSeek's models, with a secret.
    Deepseek,
    /// OpenRouter's models, with a secret.
    Openrouter,
    /// Mistral's models, with a secret.
    Mistral,
    /// Groq's models, with a secret.
    Groq,
    /// The models of xAI, with a secret.
    Xai,
    /// Moonshot's models, with a secret.
    Moonshot,
}

/// One line of a preset.
struct Line {
    hosts: &'static [&'static str],
    kind: Kind,
    paths: &'static [&'static str],
}

/// What a line allows, beside GET and HEAD.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Read,
    /// Nothing, and in the clear too: what is fetched is signed.
    ReadSigned,
    /// POST of a small body that says what to send: Git's way to read.
    Negotiate,
    /// POST and other changes, with a secret.
    Write,
    /// POST to a model, with a secret.
    Model,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

impl Kind {
    fn methods(self) -> Methods {
        let more: &[&str] = match self {
            Self::Read | Self::ReadSigned => return read_methods(),
            Self::Negotiate => &["POST"],
            Self::Write => &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
            Self::Model => &["GET", "POST"],
        };
        Methods::Only(more.iter().map(|method| (*method).to_owned()).collect())
    }

    fn caps(self) -> Caps {
        match self {
            Self::Read | Self::ReadSigned => Caps { url: 512, up: 0, down: 2 * GIB, up_day: 0, down_day: 40 * GIB },
            Self::Negotiate => Caps { url: 512, up: 4 * MIB, down: 4 * GIB, up_day: 64 * MIB, down_day: 40 * GIB },
            Self::Write => Caps { url: 4096, up: 512 * MIB, down: GIB, up_day: 4 * GIB, down_day: 20 * GIB },
            Self::Model => Caps { url: 1024, up: 64 * MIB, down: 256 * MIB, up_day: 4 * GIB, down_day: 4 * GIB },
        }
    }
}

/// The rules of a preset.
pub fn rules(preset: Preset) -> Vec<Rule> {
    let (name, lines) = preset.table();
    lines.iter().enumerate().map(|(index, line)| line.rule(name, index + 1)).collect()
}

impl Line {
    fn rule(&self, preset: &str, number: usize) -> Rule {
        let writes = matches!(self.kind, Kind::Write | Kind::Model);
        let plain_http = self.kind == Kind::ReadSigned;
        Rule {
            id: Arc::from(format!("{preset}/{number}")),
            // A test reads every line, so nothing is left out here.
            hosts: self.hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect(),
            ports: if plain_http { vec![443, 80] } else { vec![443] },
            methods: self.kind.methods(),
            paths: self.paths.iter().filter_map(|path| PathPattern::parse(path).ok()).collect(),
            deny: false,
            plain_http,
            private: false,
            pass_through: false,
            upgrade: false,
            body: writes || self.kind == Kind::Negotiate,
            needs_secret: writes,
            only_reads: false,
            asks_model: false,
            caps: self.kind.caps(),
        }
    }
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Rust,
        Self::Node,
        Self::Python,
        Self::Debian,
        Self::Github,
        Self::Anthropic,
        Self::Openai,
        Self::Google,
        Self::Deepseek,
        Self::Openrouter,
        Self::Mistral,
        Self::Groq,
        Self::Xai,
        Self::Moonshot,
    ];

    /// Its name, as the configuration has it.
    pub fn name(self) -> &'static str {
        self.table().0
    }

    /// Whether it is about a vendor of models.
    pub fn is_model_vendor(self) -> bool {
        self.table().1.iter().all(|line| line.kind == Kind::Model)
    }

    fn table(self) -> (&'static str, &'static [Line]) {
        match self {
            Self::Rust => ("rust", RUST),
            Self::Node => ("node", NODE),
            Self::Python => ("python", PYTHON),
            Self::Debian => ("debian", DEBIAN),
            Self::Github => ("github", GITHUB),
            Self::Anthropic => ("anthropic", ANTHROPIC),
            Self::Openai => ("openai", OPENAI),
            Self::Google => ("google", GOOGLE),
            Self::Deepseek => ("deepseek", DEEPSEEK),
            Self::Openrouter => ("openrouter", OPENROUTER),
            Self::Mistral => ("mistral", MISTRAL),
            Self::Groq => ("groq", GROQ),
            Self::Xai => ("xai", XAI),
            Self::Moonshot => ("moonshot", MOONSHOT),
        }
    }
}

const fn read(hosts: &'static [&'static str], paths: &'static [&'static str]) -> Line {
    Line { hosts, kind: Kind::Read, paths }
}

const fn model(hosts: &'static [&'static str], paths: &'static [&'static str]) -> Line {
    Line { hosts, kind: Kind::Model, paths }
}

const RUST: &[Line] = &[
    read(&["index.crates.io"], &["/config.json", "/1/*", "/2/*", "/3/*/*", "/*/*/*"]),
    read(&["static.crates.io"], &["/crates/*/*.crate", "/crates/*/*/download"]),
    read(&["crates.io"], &["/api/v1/crates/*/*/download"]),
    read(&["static.rust-lang.org"], &["/dist/**", "/rustup/**"]),
];

const NODE: &[Line] = &[
    read(&["registry.npmjs.org"], &["/*", "/@*/*", "/*/*", "/*/-/*.tgz", "/@*/*/*", "/@*/*/-/*.tgz", "/-/npm/v1/keys"]),
    read(&["nodejs.org"], &["/dist/**"]),
];

const PYTHON: &[Line] = &[
    read(&["pypi.org"], &["/simple/", "/simple/*/", "/simple/*", "/pypi/*/json", "/pypi/*/*/json"]),
    read(&["files.pythonhosted.org"], &["/packages/**"]),
];

const DEBIAN: &[Line] = &[
    Line { hosts: &["deb.debian.org"], kind: Kind::ReadSigned, paths: &["/debian/**", "/debian-security/**"] },
    Line { hosts: &["security.debian.org"], kind: Kind::ReadSigned, paths: &["/debian-security/**"] },
];

const GITHUB: &[Line] = &[
    read(&["github.com"], &["/*/*/info/refs", "/*/*/archive/**", "/*/*/releases/download/**", "/*/*/raw/**"]),
    Line { hosts: &["github.com"], kind: Kind::Negotiate, paths: &["/*/*/git-upload-pack"] },
    Line { hosts: &["github.com"], kind: Kind::Write, paths: &["/*/*/git-upload-pack", "/*/*/git-receive-pack"] },
    read(&["api.github.com"], &["/repos/*/*", "/repos/*/*/**"]),
    Line { hosts: &["api.github.com"], kind: Kind::Write, paths: &["/repos/*/*", "/repos/*/*/**"] },
    read(
        &[
            "codeload.github.com",
            "raw.githubusercontent.com",
            "objects.githubusercontent.com",
            "release-assets.githubusercontent.com",
        ],
        &["/*/**"],
    ),
];

const ANTHROPIC: &[Line] =
    &[model(&["api.anthropic.com"], &["/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/*"])];

const OPENAI: &[Line] = &[model(
    &["api.openai.com"],
    &["/v1/chat/completions", "/v1/responses", "/v1/responses/*", "/v1/embeddings", "/v1/models", "/v1/models/*"],
)];

const GOOGLE: &[Line] = &[model(
    &["generativelanguage.googleapis.com"],
    &["/v1beta/models", "/v1beta/models/*", "/v1beta/openai/chat/completions"],
)];

const DEEPSEEK: &[Line] = &[model(
    &["api.deepseek.com"],
    &["/chat/completions", "/v1/chat/completions", "/anthropic/v1/messages", "/models", "/v1/models"],
)];

const OPENROUTER: &[Line] =
    &[model(&["openrouter.ai"], &["/api/v1/chat/completions", "/api/v1/responses", "/api/v1/models"])];

const MISTRAL: &[Line] =
    &[model(&["api.mistral.ai"], &["/v1/chat/completions", "/v1/fim/completions", "/v1/embeddings", "/v1/models"])];

const GROQ: &[Line] =
    &[model(&["api.groq.com"], &["/openai/v1/chat/completions", "/openai/v1/responses", "/openai/v1/models"])];

const XAI: &[Line] = &[model(&["api.x.ai"], &["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models"])];

const MOONSHOT: &[Line] = &[model(
    &["api.moonshot.ai", "api.moonshot.cn"],
    &["/v1/chat/completions", "/v1/models", "/anthropic/v1/messages"],
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_preset_can_be_read() {
        for preset in Preset::ALL {
            let (name, lines) = preset.table();
            for (rule, line) in rules(preset).iter().zip(lines) {
                assert_eq!(rule.hosts.len(), line.hosts.len(), "{name}");
                assert_eq!(rule.paths.len(), line.paths.len(), "{name}");
                assert!(!rule.paths.is_empty(), "{name}: a preset always says which paths");
            }
        }
    }

    #[test]
    fn no_preset_changes_anything_without_a_secret() {
        for rule in Preset::ALL.into_iter().flat_map(rules) {
            let writes = rule.methods != read_methods();
            let negotiates = rule.paths.iter().all(|path| path.to_string().ends_with("/git-upload-pack"));
            assert!(!writes || rule.needs_secret || negotiates, "{}", rule.id);
            assert!(!rule.private && !rule.pass_through && !rule.upgrade && !rule.deny, "{}", rule.id);
            assert!(rule.body == writes, "{}", rule.id);
        }
    }
}
