//! What a failed request means and what to do about it, in words for the owner. Pure.

use types::{ProviderError, ProviderErrorKind};

use crate::{ProviderConfig, vendor};

/// The most models that are offered in place of one that does not exist.
const MAX_OFFERED: usize = 5;

/// What happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What happened, in a sentence without its full stop.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Explains why `provider/model` did not answer. `provider` is the name in the configuration.
pub fn explain(provider: &str, config: &ProviderConfig, model: &str, error: &ProviderError) -> Explained {
    use ProviderErrorKind as Kind;
    let row = config.vendor.as_deref().and_then(vendor);
    let who = row.map_or(provider, |row| row.name.as_str());
    let host = config.base_url.as_str();
    let hint = match error.kind {
        Kind::Auth if is_region(error) => region_hint(),
        Kind::Auth => key_hint(provider, config, row.and_then(|row| row.keys_at.as_deref())),
        Kind::Quota => format!("add credit to the account at {who}, or raise its limit there; then try again"),
        Kind::RateLimited => {
            "wait a little, or ask the vendor for a higher rate; the free tiers of some allow very few requests"
                .to_owned()
        }
        Kind::Overloaded | Kind::Server => {
            format!("{who} has trouble of its own; try again later, and name another model under `fallback` in [agent]")
        }
        Kind::Timeout => format!(
            "nothing came from {host} in time; try again, or raise `first_byte_ms` under [providers.{provider}]"
        ),
        Kind::Network if row.is_some_and(|row| row.local) => format!("start {who}; nothing listens at {host}"),
        Kind::Network => {
            format!("look whether this machine reaches {host}: its network, its name server, a firewall, the clock")
        }
        Kind::Truncated | Kind::Malformed => {
            format!(
                "what answers at {host} does not speak this interface; check `base_url` and `api` under [providers.{provider}]"
            )
        }
        Kind::NotFound => name_hint(provider, config, model),
        Kind::BadRequest if is_region(error) => region_hint(),
        Kind::BadRequest | Kind::TooLarge | Kind::ContextOverflow => {
            format!(
                "the vendor's words say what it refused; a switch under [providers.{provider}.quirks] may be what it wants"
            )
        }
        Kind::Cancelled => "try it again".to_owned(),
    };
    let what = if is_region(error) { format!("{who} does not serve this region: {error}") } else { error.to_string() };
    Explained { what, hint }
}

/// Vendors refuse countries with the statuses of wrong keys and wrong requests; their words tell the difference.
fn is_region(error: &ProviderError) -> bool {
    if !matches!(error.kind, ProviderErrorKind::Auth | ProviderErrorKind::BadRequest) {
        return false;
    }
    let message = error.message.to_lowercase();
    let words = [
        "country, region, or territory not supported",
        "unsupported_country_region_territory",
        "user location is not supported",
        "not available in your region",
        "not available in your country",
    ];
    words.iter().any(|words| message.contains(words))
}

fn region_hint() -> String {
    "use a vendor that serves this region, such as another cloud that sells the same model".to_owned()
}

fn key_hint(provider: &str, config: &ProviderConfig, keys_at: Option<&str>) -> String {
    let page = keys_at.map(|page| format!("make one at {page}, then ")).unwrap_or_default();
    match &config.key {
        Some(key) => format!("{page}store it with `factotum secret set {key}` (it reads standard input)"),
        None => format!(
            "{page}store it with `factotum secret set {provider}-key` and name it: key = \"{provider}-key\" under [providers.{provider}]"
        ),
    }
}

/// What the owner may have meant.
fn name_hint(provider: &str, config: &ProviderConfig, model: &str) -> String {
    let known = crate::known_models(config);
    let stem: String = model.chars().take_while(|letter| letter.is_ascii_alphabetic()).collect();
    let like: Vec<String> = known
        .iter()
        .filter(|listed| !stem.is_empty() && listed.id != model && listed.id.contains(&stem))
        .take(MAX_OFFERED)
        .map(|listed| format!("`{}`", listed.id))
        .collect();
    let list = format!("`factotum model list --all --provider {provider}` asks the vendor for its models");
    if like.is_empty() { list } else { format!("did you mean {}? {list}", like.join(", ")) }
}

#[cfg(test)]
mod tests {
    use ProviderErrorKind as Kind;

    use super::*;
    use crate::Api;

    fn hint(vendor: Option<&str>, kind: Kind, message: &str) -> Explained {
        let mut config = ProviderConfig::new(Api::OpenaiChat, "https://api.deepseek.com");
        config.vendor = vendor.map(str::to_owned);
        config.key = types::SecretName::new("lab-key").ok();
        explain("lab", &config, "deepseek-v5", &ProviderError::new(kind, message))
    }

    #[test]
    fn each_kind_says_what_to_do() {
        for (kind, words) in [
            (Kind::Auth, "factotum secret set lab-key"),
            (Kind::Quota, "add credit to the account at DeepSeek"),
            (Kind::RateLimited, "wait"),
            (Kind::Overloaded, "fallback"),
            (Kind::Server, "fallback"),
            (Kind::Timeout, "first_byte_ms"),
            (Kind::Network, "https://api.deepseek.com"),
            (Kind::Truncated, "base_url"),
            (Kind::Malformed, "base_url"),
            (Kind::NotFound, "`deepseek-v4-pro`"),
            (Kind::BadRequest, "quirks"),
            (Kind::Cancelled, "again"),
        ] {
            let explained = hint(Some("deepseek"), kind, "no");
            assert!(explained.hint.contains(words), "{kind:?}: {}", explained.hint);
        }
        assert!(hint(Some("deepseek"), Kind::Auth, "no").hint.contains("platform.deepseek.com"), "where a key is made");
        assert!(hint(None, Kind::NotFound, "no").hint.starts_with("`factotum model list"), "nothing is known of it");
    }

    #[test]
    fn a_region_is_told_from_a_wrong_key() {
        for (kind, message) in [
            (Kind::Auth, "Country, region, or territory not supported"),
            (Kind::BadRequest, "User location is not supported for the API use."),
        ] {
            let explained = hint(Some("openai"), kind, message);
            assert!(explained.what.contains("does not serve this region"), "{explained:?}");
            assert!(
                explained.hint.contains("serves this region") && !explained.hint.contains("secret set"),
                "{explained:?}"
            );
        }
        assert!(!hint(None, Kind::Network, "region not supported").what.contains("region:"));
    }
}
