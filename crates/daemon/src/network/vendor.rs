//! What a coding agent may reach beside its workspace's own rules: the model requests of its vendor, and nothing else of
//! it. Pure.

use std::sync::Arc;

use egress::{EgressConfig, EgressRules, RuleConfig, WebTarget};

use crate::config::{CoderAuth, CoderConfig, CoderKind};

/// The model requests of the interfaces that coding agents speak, as they stand behind a vendor's address. Some addresses
/// hold the version already.
const MODEL_PATHS: [&str; 12] = [
    "/messages",
    "/messages/count_tokens",
    "/responses",
    "/chat/completions",
    "/models",
    "/models/*",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/models",
    "/v1/models/*",
];

/// The rules for a coding agent's vendor, with the secret that its requests carry. The error is about `base_url`.
pub(crate) fn vendor_rules(name: &str, coder: &CoderConfig) -> Result<EgressRules, String> {
    let mut config = EgressConfig {
        secrets: coder.secret.iter().cloned().collect(),
        extra_ca: coder.extra_ca.clone(),
        ..EgressConfig::default()
    };
    match coder.address(name) {
        Some(address) => config.rules.push(at_address(address, coder.secret.is_some())?),
        None => config.presets.extend(coder.vendor(name)),
    }
    let mut rules = config.rules().map_err(|error| error.to_string())?;
    for rule in &mut rules.rules {
        rule.id = Arc::from(format!("coders/{name}/{}", rule.id));
        rule.asks_model = true;
    }
    Ok(rules)
}

/// The rule for an address that the owner named.
fn at_address(address: &str, has_secret: bool) -> Result<RuleConfig, String> {
    egress::check_address(address).map_err(|error| error.message)?;
    let target = WebTarget::parse_written(address).map_err(|error| error.to_string())?;
    let host = target.target.host();
    let is_here = match host {
        egress::Host::Ip(address) => address.is_loopback() || address.is_unspecified(),
        egress::Host::Dns(name) => name.as_str() == "localhost",
    };
    if is_here {
        return Err(
            "inside a sandbox this address is the sandbox itself; name this machine by another address".to_owned()
        );
    }
    let plain = target.scheme == egress::Scheme::Http;
    let base = target.path.path().trim_end_matches('/');
    Ok(RuleConfig {
        host: host.to_string(),
        ports: vec![target.target.port()],
        methods: ["GET", "POST"].map(str::to_owned).to_vec(),
        paths: MODEL_PATHS.map(|path| format!("{base}{path}")).to_vec(),
        plain_http: plain,
        private: plain || matches!(host, egress::Host::Ip(_)),
        needs_secret: has_secret,
        max_url_bytes: 1024,
        max_up_kib: 64 * 1024,
        max_down_kib: 256 * 1024,
        day_up_kib: 4 * 1024 * 1024,
        day_down_kib: 4 * 1024 * 1024,
        ..RuleConfig::default()
    })
}

/// The host that a coding agent's secret must be bound to, and the words of `factotum secret` that bind it.
pub(crate) fn binding(name: &str, coder: &CoderConfig) -> Option<(String, String)> {
    let secret = coder.secret.as_ref()?;
    let rules = vendor_rules(name, coder).ok()?;
    let rule = rules.rules.first()?;
    let port = rule.ports.first().copied().unwrap_or(443);
    let host = rule.hosts.first()?;
    let place = if port == 443 { host.to_string() } else { format!("{host}:{port}") };
    let is_anthropics_key = coder.auth == CoderAuth::ApiKey
        && (coder.kind(name) == Some(CoderKind::Claude) || coder.vendor(name) == Some(egress::Preset::Anthropic));
    let header = if is_anthropics_key { " --header 'x-api-key:'" } else { "" };
    Some((place.clone(), format!("factotum secret bind {secret} --bind {place}{header}")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use egress::{Ask, RequestPath, Scheme, Target};
    use types::SecretName;

    use super::*;

    fn coder(base_url: Option<&str>) -> CoderConfig {
        CoderConfig {
            secret: Some(SecretName::new("vendor-key").unwrap()),
            base_url: base_url.map(str::to_owned),
            ..CoderConfig::default()
        }
    }

    fn allows(rules: &EgressRules, method: &str, url: &str, has_secret: bool) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        let (target, path) = (Target::parse_host(host, scheme).unwrap(), RequestPath::parse(path).unwrap());
        let ask = Ask {
            scheme,
            target: &target,
            method,
            path: &path,
            has_body: method == "POST",
            upgrade: false,
            has_secret,
        };
        rules.request(&ask).is_ok()
    }

    #[test]
    fn a_coder_reaches_the_model_requests_of_its_vendor_and_nothing_else() {
        let rules = vendor_rules("claude", &coder(None)).unwrap();
        assert!(allows(&rules, "POST", "https://api.anthropic.com/v1/messages?beta=true", true));
        assert!(!allows(&rules, "POST", "https://api.anthropic.com/v1/messages", false), "nobody else's key");
        for other in ["/api/claude_code/settings", "/v1/files", "/api/oauth/usage"] {
            assert!(!allows(&rules, "GET", &format!("https://api.anthropic.com{other}"), true), "{other}");
        }
        assert!(!allows(&rules, "POST", "https://api.openai.com/v1/responses", true));
        assert!(!allows(&rules, "DELETE", "https://api.anthropic.com/v1/models/x", true));
        let codex = vendor_rules("codex", &coder(None)).unwrap();
        assert!(allows(&codex, "POST", "https://api.openai.com/v1/responses", true));
        assert!(codex.rules[0].id.starts_with("coders/codex/openai/"), "{}", codex.rules[0].id);
    }

    #[test]
    fn another_address_opens_its_model_requests_alone() {
        let rules = vendor_rules("claude", &coder(Some("https://llm.example.org:8443/anthropic/"))).unwrap();
        assert!(allows(&rules, "POST", "https://llm.example.org:8443/anthropic/v1/messages", true));
        for closed in [
            "https://llm.example.org:8443/v1/messages",
            "https://llm.example.org/anthropic/v1/messages",
            "http://llm.example.org:8443/anthropic/v1/messages",
            "https://llm.example.org:8443/anthropic/admin",
            "https://api.anthropic.com/v1/messages",
        ] {
            assert!(!allows(&rules, "POST", closed, true), "{closed}");
        }
        assert!(!rules.rules[0].private);
        let own = vendor_rules("codex", &coder(Some("http://192.168.1.20:8000/v1"))).unwrap();
        assert!(allows(&own, "POST", "http://192.168.1.20:8000/v1/responses", true));
        for bad in ["http://127.0.0.1:1/v1", "http://localhost:1", "ftp://x", "https://user:pw@example.org"] {
            assert!(vendor_rules("codex", &coder(Some(bad))).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_owner_is_told_how_to_bind_the_secret() {
        let (host, command) = binding("claude", &coder(None)).unwrap();
        assert_eq!(host, "api.anthropic.com");
        assert_eq!(command, "factotum secret bind vendor-key --bind api.anthropic.com --header 'x-api-key:'");
        let subscribed = CoderConfig { auth: CoderAuth::Subscription, ..coder(None) };
        assert_eq!(
            binding("claude", &subscribed).unwrap().1,
            "factotum secret bind vendor-key --bind api.anthropic.com"
        );
    }
}
