//! What the owner writes about a workspace's way out, and its checks. Compiles to [`EgressRules`]; must not read files.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::SecretName;

use crate::{
    path::{PathPattern, PatternError},
    presets::{self, Preset},
    rules::{Caps, EgressRules, HostPattern, HostPatternError, Methods, Rule},
};

/// The most rules of one workspace, presets not counted.
const MAX_RULES: usize = 500;
/// The largest value of a cap in KiB: one PiB.
const MAX_KIB: u64 = 1 << 40;

/// `[workspaces.NAME.egress]`: where programs of this workspace may connect to. Nothing is allowed unless it stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Ready-made lists: `rust`, `node`, `python`, `debian`, `github`, and model vendors such as `anthropic`.
    pub presets: Vec<Preset>,
    /// Rules of your own. One with `deny = true` wins over all others and over the presets.
    pub rules: Vec<RuleConfig>,
    /// The secrets of the vault that requests of this workspace may carry, each only where it is bound to.
    pub secrets: BTreeSet<SecretName>,
    /// Let programs send, as far as the rules say, while the workspace holds foreign text: after a job worked in it, or after
    /// its programs reached the network. Otherwise they may only read from then on: whoever wrote that text could have left a
    /// script that sends in your name.
    pub trust_foreign: bool,
    /// Files in PEM with further certificate authorities that servers may be verified against.
    pub extra_ca: Vec<PathBuf>,
}

/// `[[workspaces.NAME.egress.rules]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// A name, an address, or `*.example.com` for names with one label more.
    pub host: String,
    /// The ports: 443 unless you write others, and 80 as well with `plain_http`.
    pub ports: Vec<u16>,
    /// The methods, or `*` for all: GET and HEAD unless you write others; all where the rule denies.
    pub methods: Vec<String>,
    /// The paths, such as `/api/v1/**`: `*` stands for characters of one segment, `**` at the end for all below. All if
    /// there are none.
    pub paths: Vec<String>,
    /// Forbid what the rule is about, whatever else allows it.
    pub deny: bool,
    /// Allow requests without TLS too. Everybody on the way can read and change them.
    pub plain_http: bool,
    /// Allow addresses of your own network, such as your Home Assistant. This very machine only if `host` is its address
    /// or `localhost`.
    pub private: bool,
    /// Let TLS through unopened, for programs that insist on their own certificates. Such traffic cannot be limited by
    /// method and path nor searched for secrets, and sessions that have read foreign text may not use it.
    pub pass_through: bool,
    /// Allow a change to another protocol, such as WebSocket.
    pub upgrade: bool,
    /// Allow requests to have a body: where a method other than GET and HEAD is allowed, unless you say otherwise.
    pub body: Option<bool>,
    /// Allow only requests that carry a secret of the vault which is bound to them.
    pub needs_secret: bool,
    /// The most bytes of path and query of one request.
    pub max_url_bytes: u64,
    /// The most KiB that one request may send.
    pub max_up_kib: u64,
    /// The most KiB that one request may receive.
    pub max_down_kib: u64,
    /// The most KiB that all requests of a day (UTC) may send.
    pub day_up_kib: u64,
    /// The most KiB that all requests of a day (UTC) may receive.
    pub day_down_kib: u64,
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            ports: Vec::new(),
            methods: Vec::new(),
            paths: Vec::new(),
            deny: false,
            plain_http: false,
            private: false,
            pass_through: false,
            upgrade: false,
            body: None,
            needs_secret: false,
            max_url_bytes: 8192,
            max_up_kib: 16 * 1024,
            max_down_kib: 1024 * 1024,
            day_up_kib: 256 * 1024,
            day_down_kib: 20 * 1024 * 1024,
        }
    }
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The host cannot be read.
    #[error("rule {rule}: `host`: {source}")]
    Host {
        /// Which rule, counted from 1.
        rule: usize,
        /// Why.
        source: HostPatternError,
    },
    /// A path cannot be read.
    #[error("rule {rule}: `paths`: {source}")]
    Path {
        /// Which rule, counted from 1.
        rule: usize,
        /// Why.
        source: PatternError,
    },
    /// A value that makes no sense, alone or beside the others.
    #[error("rule {rule}: {why}")]
    Value {
        /// Which rule, counted from 1.
        rule: usize,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Too many rules.
    #[error("there are more than {MAX_RULES} rules")]
    TooMany,
    /// A certificate file that depends on the working directory.
    #[error("`extra_ca` must name files by their absolute path")]
    RelativeCa,
}

impl EgressConfig {
    /// Checks every value, without looking at any file.
    pub fn check(&self) -> Result<(), RuleError> {
        self.rules().map(|_| ())
    }

    /// The rules in the form that judges: the workspace's own first, then those of its presets.
    pub fn rules(&self) -> Result<EgressRules, RuleError> {
        if self.rules.len() > MAX_RULES {
            return Err(RuleError::TooMany);
        }
        if self.extra_ca.iter().any(|path| !path.is_absolute()) {
            return Err(RuleError::RelativeCa);
        }
        let own = self.rules.iter().enumerate().map(|(index, rule)| rule.compile(index + 1));
        let mut rules = own.collect::<Result<Vec<_>, _>>()?;
        let presets: BTreeSet<Preset> = self.presets.iter().copied().collect();
        rules.extend(presets.into_iter().flat_map(presets::rules));
        let (secrets, extra_ca) = (self.secrets.clone(), self.extra_ca.clone());
        Ok(EgressRules { rules, secrets, trust_foreign: self.trust_foreign, extra_ca })
    }
}

impl RuleConfig {
    fn compile(&self, rule: usize) -> Result<Rule, RuleError> {
        let host = HostPattern::parse(&self.host).map_err(|source| RuleError::Host { rule, source })?;
        let paths = self.paths.iter().map(|path| PathPattern::parse(path)).collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(|source| RuleError::Path { rule, source })?;
        let methods = self.compile_methods().ok_or(RuleError::Value {
            rule,
            why: "`methods` must be upper-case words such as GET, or `*` alone; CONNECT is no such method",
        })?;
        self.check_values(rule)?;
        let changes = methods != read_methods();
        Ok(Rule {
            id: Arc::from(format!("rules/{rule}")),
            hosts: vec![host],
            ports: self.compile_ports(),
            body: self.body.unwrap_or(changes),
            methods,
            paths,
            deny: self.deny,
            plain_http: self.plain_http,
            private: self.private,
            pass_through: self.pass_through,
            upgrade: self.upgrade,
            needs_secret: self.needs_secret,
            only_reads: false,
            asks_model: false,
            caps: Caps {
                url: self.max_url_bytes,
                up: self.max_up_kib * 1024,
                down: self.max_down_kib * 1024,
                up_day: self.day_up_kib * 1024,
                down_day: self.day_down_kib * 1024,
            },
        })
    }

    fn compile_ports(&self) -> Vec<u16> {
        match (self.ports.is_empty(), self.deny, self.plain_http) {
            (false, _, _) => self.ports.clone(),
            (true, true, _) => Vec::new(),
            (true, false, true) => vec![443, 80],
            (true, false, false) => vec![443],
        }
    }

    fn compile_methods(&self) -> Option<Methods> {
        let is_word =
            |word: &String| (1..=24).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        match self.methods.as_slice() {
            [] if self.deny || self.pass_through => Some(Methods::Any),
            [] => Some(read_methods()),
            [star] if star == "*" => Some(Methods::Any),
            words if words.iter().all(|word| is_word(word) && word != "CONNECT") => {
                Some(Methods::Only(words.iter().cloned().collect()))
            }
            _ => None,
        }
    }

    fn check_values(&self, rule: usize) -> Result<(), RuleError> {
        let refuse = |why| Err(RuleError::Value { rule, why });
        if self.ports.contains(&0) || self.ports.len() > 64 {
            return refuse("`ports` must be at most 64 numbers from 1 to 65535");
        }
        if self.paths.len() > 256 {
            return refuse("`paths` has more than 256 patterns");
        }
        if self.pass_through && (!self.methods.is_empty() || !self.paths.is_empty() || self.needs_secret) {
            return refuse("`pass_through` cannot see methods, paths or secrets; leave them out");
        }
        if self.deny && (self.private || self.plain_http || self.pass_through || self.upgrade || self.needs_secret) {
            return refuse("a rule with `deny` has only `host`, `ports`, `methods` and `paths`");
        }
        let caps = [self.max_up_kib, self.max_down_kib, self.day_up_kib, self.day_down_kib];
        if caps.iter().any(|cap| *cap > MAX_KIB) || self.max_url_bytes > 16 * 1024 {
            return refuse("a cap is too large; `max_url_bytes` may be 16384");
        }
        Ok(())
    }
}

/// GET and HEAD.
pub(crate) fn read_methods() -> Methods {
    Methods::Only(["GET", "HEAD"].map(str::to_owned).into())
}
