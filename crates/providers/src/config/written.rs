//! `[providers.NAME]` as the owner writes it, and the step to a whole [`ProviderConfig`]: what is absent comes from the vendor's
//! row, or is the default.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};
use types::{Prices, SecretName};

use super::{
    Api, OutputLimit, ProviderConfig, default_attempts, default_backoff_ms, default_first_byte_ms, default_idle_ms,
    default_total_ms,
};
use crate::{
    KeyHeader, ListForm, ModelConfig, Quirks, Vendor,
    vendors::{RESOURCE, nearest, vendor},
};

/// A provider of models.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// The vendor, by its id in the built-in table: `factotum setup --help` lists them. It fills in what is absent here.
    #[serde(default)]
    vendor: Option<VendorId>,
    /// The interface it speaks. Needed without `vendor`.
    #[serde(default)]
    api: Option<Api>,
    /// Its address, such as `https://api.anthropic.com` or `https://api.openai.com/v1`. Needed without `vendor`.
    #[serde(default)]
    base_url: Option<String>,
    /// What `{resource}` in the vendor's address stands for, such as the name of your Azure resource, or a region.
    #[serde(default)]
    resource: Option<String>,
    /// The name of the secret that holds its key; none for a server without keys.
    #[serde(default)]
    key: Option<SecretName>,
    /// More secrets with keys of the same vendor: when one is refused or used up, the next is used.
    #[serde(default)]
    keys: Vec<SecretName>,
    /// How the key is sent; as the vendor wants it when absent.
    #[serde(default)]
    key_header: Option<KeyHeader>,
    /// The form of its list of models; the vendor's when absent.
    #[serde(default)]
    lists: Option<ListForm>,
    /// What each model costs, in US dollars per million tokens, by the model's name.
    #[serde(default)]
    prices: BTreeMap<String, Prices>,
    /// How many tokens each model's context holds, by the model's name.
    #[serde(default)]
    context_tokens: BTreeMap<String, u64>,
    /// What you know better of a model than the built-in table does: `[providers.NAME.models."MODEL"]`.
    #[serde(default)]
    models: BTreeMap<String, ModelConfig>,
    /// Whether answers are streamed. Off for servers that cannot.
    #[serde(default)]
    stream: Option<bool>,
    /// The field for the answer's limit (`openai-chat` only). When absent: `max_completion_tokens` for OpenAI and Azure,
    /// `max_tokens` for all others.
    #[serde(default)]
    output_limit: Option<OutputLimit>,
    /// Whether the model's reasoning is given back to it as `reasoning_content` (`openai-chat` only). Some vendors demand
    /// it while tools are used, others refuse it.
    #[serde(default)]
    replay_reasoning: Option<bool>,
    /// In what the vendor departs from the interface as its owner published it. Each field that is written here counts in the
    /// place of the vendor's row.
    #[serde(default)]
    #[schemars(with = "Option<Quirks>")]
    quirks: Option<serde_json::Map<String, serde_json::Value>>,
    /// How many times a request is tried in all before a passing failure is reported.
    #[serde(default = "default_attempts")]
    attempts: u32,
    /// The longest first wait between two tries, in milliseconds; it doubles with each try.
    #[serde(default = "default_backoff_ms")]
    backoff_ms: u64,
    /// How long to wait for the first byte of an answer, in milliseconds.
    #[serde(default = "default_first_byte_ms")]
    first_byte_ms: u64,
    /// How long a stream may be silent, in milliseconds.
    #[serde(default = "default_idle_ms")]
    idle_ms: u64,
    /// How long one answer may take in all, in milliseconds.
    #[serde(default = "default_total_ms")]
    total_ms: u64,
}

/// The id of a vendor in the table.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct VendorId(#[schemars(with = "String")] &'static Vendor);

impl<'de> Deserialize<'de> for VendorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Cow::<str>::deserialize(deserializer)?;
        let known = vendor(&id).ok_or_else(|| {
            let names: Vec<String> = nearest(&id).into_iter().map(|id| format!("`{id}`")).collect();
            // In the words of a closed set, for which the configuration's reader has a hint.
            D::Error::custom(format!("unknown variant `{id}`, expected one of {}", names.join(", ")))
        })?;
        match &known.unavailable {
            Some(why) => Err(D::Error::custom(format!("{} cannot be used: {why}", known.name))),
            None => Ok(Self(known)),
        }
    }
}

impl TryFrom<Written> for ProviderConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let row = written.vendor.map(|VendorId(row)| row);
        let api = written.api.or(row.map(|row| row.api)).ok_or("missing field `api`")?;
        // The row speaks of its own interface; another one has ways of its own.
        let same = row.filter(|row| row.api == api);
        let listed = row.map(|row| row.base_url.as_str()).filter(|address| !address.is_empty());
        let address = written.base_url.as_deref().or(listed).ok_or("missing field `base_url`")?;
        let base_url = filled(address, written.resource.as_deref(), row)?;
        let mut quirks = overlaid(same.map(|row| &row.quirks), written.quirks)?;
        quirks.output_limit = written.output_limit.or(quirks.output_limit);
        quirks.replay_reasoning = written.replay_reasoning.unwrap_or(quirks.replay_reasoning);
        // An interface that must be told how much a model holds knows this list alone.
        let mut context_tokens = written.context_tokens;
        context_tokens
            .extend(written.models.iter().filter_map(|(name, model)| Some((name.clone(), model.context_tokens?))));
        let known = same.map(|row| crate::models::reasoning(&row.id)).unwrap_or_default();
        let told = written.models.iter().filter_map(|(name, model)| Some((name.as_str(), model.reasoning?)));
        for (name, reasoning) in told.chain(known) {
            quirks.models.entry(name.to_owned()).or_insert(reasoning);
        }
        let key_header = written.key_header.or(same.map(Vendor::key_header));
        let lists = written.lists.or(same.map(Vendor::lists));
        Ok(Self {
            vendor: row.map(|row| row.id.clone()),
            key: written.key,
            keys: written.keys,
            key_header: key_header.unwrap_or_else(|| KeyHeader::usual(api)),
            lists: lists.unwrap_or_else(|| ListForm::usual(api)),
            prices: written.prices,
            context_tokens,
            models: written.models,
            stream: written.stream.unwrap_or(true),
            output_limit: quirks.output_limit,
            replay_reasoning: quirks.replay_reasoning,
            quirks,
            attempts: written.attempts,
            backoff_ms: written.backoff_ms,
            first_byte_ms: written.first_byte_ms,
            idle_ms: written.idle_ms,
            total_ms: written.total_ms,
            ..Self::new(api, base_url)
        })
    }
}

/// The address with what only the owner knows.
fn filled(address: &str, resource: Option<&str>, row: Option<&Vendor>) -> Result<String, String> {
    match (address.contains(RESOURCE), resource) {
        (false, None) => Ok(address.to_owned()),
        (false, Some(_)) => Err("`resource` has no place in this address; remove it".to_owned()),
        (true, None) => {
            let what = row.and_then(|row| row.resource.as_deref()).unwrap_or("what `{resource}` stands for");
            Err(format!("missing field `resource`: the address {address} needs {what}"))
        }
        (true, Some(resource)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            // It becomes a part of a host's name, so it must not be able to name another host.
            if resource.is_empty() || resource.len() > 64 || !resource.bytes().all(plain) {
                return Err("`resource` must be letters, digits and `-` only, without dots or slashes".to_owned());
            }
            Ok(address.replace(RESOURCE, resource))
        }
    }
}

/// The quirks of the row with those fields that the owner writes.
fn overlaid(
    row: Option<&Quirks>,
    written: Option<serde_json::Map<String, serde_json::Value>>,
) -> Result<Quirks, String> {
    let base = row.cloned().unwrap_or_default();
    let Some(written) = written else { return Ok(base) };
    let mut whole = serde_json::to_value(base).map_err(|error| error.to_string())?;
    if let Some(fields) = whole.as_object_mut() {
        fields.extend(written);
    }
    serde_json::from_value(whole).map_err(|error| format!("`quirks`: {error}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ProviderConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_row_fills_in_what_is_absent() {
        let config = read("vendor = \"deepseek\"\nkey = \"k\"").unwrap();
        assert_eq!((config.api, config.base_url.as_str()), (Api::OpenaiChat, "https://api.deepseek.com"));
        assert_eq!((config.key_header, config.lists), (KeyHeader::Bearer, ListForm::Openai));
        assert!(config.replay_reasoning && config.quirks.replay_reasoning && !config.quirks.images);
        assert_eq!(config.vendor.as_deref(), Some("deepseek"));
    }

    #[test]
    fn what_is_written_wins_over_the_row() {
        let text = "vendor = \"deepseek\"\nbase_url = \"http://127.0.0.1:9\"\nreplay_reasoning = false\nlists = \"none\"\n\
                    key_header = \"api-key\"\nstream = false\n[quirks]\nimages = true";
        let config = read(text).unwrap();
        assert_eq!((config.base_url.as_str(), config.key_header), ("http://127.0.0.1:9", KeyHeader::ApiKey));
        assert!(!config.replay_reasoning && !config.stream && config.lists == ListForm::None);
        let row = &vendor("deepseek").unwrap().quirks;
        assert!(config.quirks.images && !config.quirks.documents, "one quirk is written, the others are the row's");
        assert_eq!(config.quirks.reasoning_field, row.reasoning_field);
    }

    /// A vendor may speak two interfaces; what its row says is about one of them.
    #[test]
    fn another_interface_has_its_own_ways() {
        let text = "vendor = \"zai\"\napi = \"anthropic\"\nbase_url = \"https://api.z.ai/api/anthropic\"";
        let config = read(text).unwrap();
        assert_eq!((config.key_header, config.lists), (KeyHeader::XApiKey, ListForm::Anthropic));
        assert_eq!(config.quirks, Quirks::default());
    }

    #[test]
    fn without_a_vendor_nothing_changes() {
        let config = read("api = \"anthropic\"\nbase_url = \"http://127.0.0.1:9\"").unwrap();
        assert_eq!(config, ProviderConfig::new(Api::Anthropic, "http://127.0.0.1:9"));
        assert_eq!(read("base_url = \"http://x\"").unwrap_err(), "missing field `api`");
        assert_eq!(read("api = \"anthropic\"").unwrap_err(), "missing field `base_url`");
        assert_eq!(read("vendor = \"compatible\"").unwrap_err(), "missing field `base_url`");
        assert!(read("vendor = \"openai\"\nbase_uri = \"x\"").unwrap_err().contains("unknown field `base_uri`"));
        assert!(read("vendor = \"openai\"\n[quirks]\nspeed = 1").unwrap_err().contains("unknown field `speed`"));
    }

    #[test]
    fn vendors_that_are_none_are_told() {
        let error = read("vendor = \"depseek\"").unwrap_err();
        assert_eq!(error, "unknown variant `depseek`, expected one of `deepseek`");
        let error = read("vendor = \"github-copilot\"").unwrap_err();
        assert!(error.contains("cannot be used") && error.contains("[coders.copilot]"), "{error}");
    }

    #[test]
    fn an_address_wants_its_resource() {
        let config = read("vendor = \"azure\"\nresource = \"lab-1\"").unwrap();
        assert_eq!(config.base_url, "https://lab-1.openai.azure.com/openai/v1");
        assert_eq!(config.key_header, KeyHeader::ApiKey);
        let error = read("vendor = \"azure\"").unwrap_err();
        assert!(error.contains("missing field `resource`") && error.contains("your Azure OpenAI resource"), "{error}");
        for elsewhere in ["evil.example/", "a.b", "", "a/b", "a@b", "a:1"] {
            let text = format!("vendor = \"azure\"\nresource = \"{elsewhere}\"");
            assert!(read(&text).is_err(), "{elsewhere}");
        }
        assert!(read("vendor = \"openai\"\nresource = \"x\"").unwrap_err().contains("no place"));
    }

    #[test]
    fn every_row_can_be_configured() {
        for row in crate::vendors() {
            let resource = row.resource.as_ref().map_or("", |_| "resource = \"mine\"\n");
            let address = if row.base_url.is_empty() { "base_url = \"http://127.0.0.1:9\"\n" } else { "" };
            let config = read(&format!("vendor = \"{}\"\n{resource}{address}", row.id));
            assert_eq!(config.is_ok(), row.unavailable.is_none(), "{}: {config:?}", row.id);
        }
    }

    #[test]
    fn the_dialect_learns_how_each_model_reasons() {
        let text = "vendor = \"anthropic\"\n[models.\"claude-opus-5-5\"]\nreasoning = \"none\"";
        let config = read(text).unwrap();
        let of = |model: &str| config.quirks.models.get(model).copied();
        assert_eq!(of("claude-opus-5-5"), Some(crate::Reasoning::None), "the owner counts before the table");
        assert_eq!(of("claude-sonnet-5-5"), Some(crate::Reasoning::Adaptive));
        assert_eq!(of("claude-haiku-4-5"), Some(crate::Reasoning::Budget));
    }

    #[test]
    fn the_schema_is_that_of_the_written_form() {
        let schema = schemars::schema_for!(ProviderConfig).to_value();
        let properties = &schema["properties"];
        assert!(properties["vendor"].is_object() && properties["quirks"].is_object(), "{schema}");
    }
}
