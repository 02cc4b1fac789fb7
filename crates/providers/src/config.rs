//! A provider as the owner configures it, and the step from there to one that can be asked.

mod written;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use egress::{ClientConfig, HttpClient, Timeouts, Vault};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use types::{Prices, Provider, SecretName};

use crate::{
    KeyHeader, ListForm, ModelConfig,
    anthropic::Anthropic,
    gemini::Gemini,
    keys::Keys,
    ollama::Ollama,
    openai_chat::OpenaiChat,
    openai_responses::OpenaiResponses,
    quirks::Quirks,
    retry::Retry,
    wire::{Endpoint, Wire},
};

/// The interface that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions, which many other vendors and local servers speak as well.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Google Gemini.
    Gemini,
    /// Ollama's own interface.
    Ollama,
}

impl Api {
    fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenaiChat => "openai-chat",
            Self::OpenaiResponses => "openai-responses",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }
}

/// The field by which a Chat Completions server is told the answer's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// `max_tokens`: what compatible servers have in common.
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's own reasoning models demand.
    MaxCompletionTokens,
}

/// A provider of models, with nothing left open. Read from [`written`], where its vendor's row fills in what is absent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "written::Written")]
pub struct ProviderConfig {
    /// The vendor's id in the built-in table; none for a server that is in no table.
    pub vendor: Option<String>,
    /// The interface it speaks.
    pub api: Api,
    /// Its address, such as `https://api.anthropic.com` or `https://api.openai.com/v1`.
    pub base_url: String,
    /// The name of the secret that holds its key; none for a server without keys.
    pub key: Option<SecretName>,
    /// More secrets with keys of the same vendor: when one is refused or used up, the next is used.
    pub keys: Vec<SecretName>,
    /// How the key is sent.
    pub key_header: KeyHeader,
    /// The form of its list of models.
    pub lists: ListForm,
    /// What each model costs, in US dollars per million tokens, by the model's name.
    pub prices: BTreeMap<String, Prices>,
    /// How many tokens each model's context holds, by the model's name.
    pub context_tokens: BTreeMap<String, u64>,
    /// What the owner knows better of models than the table does, by the model's name.
    pub models: BTreeMap<String, ModelConfig>,
    /// Whether answers are streamed.
    pub stream: bool,
    /// The field for the answer's limit (`openai-chat` only). When absent: `max_completion_tokens` for OpenAI and Azure,
    /// `max_tokens` for all others.
    pub output_limit: Option<OutputLimit>,
    /// Whether the model's reasoning is given back to it as `reasoning_content` (`openai-chat` only).
    pub replay_reasoning: bool,
    /// In what the vendor departs from the interface as its owner published it.
    pub quirks: Quirks,
    /// How many times a request is tried in all before a passing failure is reported.
    pub attempts: u32,
    /// The longest first wait between two tries, in milliseconds; it doubles with each try.
    pub backoff_ms: u64,
    /// How long to wait for the first byte of an answer, in milliseconds.
    pub first_byte_ms: u64,
    /// How long a stream may be silent, in milliseconds.
    pub idle_ms: u64,
    /// How long one answer may take in all, in milliseconds.
    pub total_ms: u64,
}

impl JsonSchema for ProviderConfig {
    fn schema_name() -> Cow<'static, str> {
        "ProviderConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        written::Written::json_schema(generator)
    }
}

fn default_attempts() -> u32 {
    5
}

fn default_backoff_ms() -> u64 {
    500
}

fn default_first_byte_ms() -> u64 {
    120_000
}

fn default_idle_ms() -> u64 {
    90_000
}

fn default_total_ms() -> u64 {
    900_000
}

impl ProviderConfig {
    /// A provider at `base_url` without a key and with every other setting at its default.
    pub fn new(api: Api, base_url: impl Into<String>) -> Self {
        Self {
            vendor: None,
            api,
            base_url: base_url.into(),
            key: None,
            keys: Vec::new(),
            key_header: KeyHeader::usual(api),
            lists: ListForm::usual(api),
            prices: BTreeMap::new(),
            context_tokens: BTreeMap::new(),
            models: BTreeMap::new(),
            stream: true,
            output_limit: None,
            replay_reasoning: false,
            quirks: Quirks::default(),
            attempts: default_attempts(),
            backoff_ms: default_backoff_ms(),
            first_byte_ms: default_first_byte_ms(),
            idle_ms: default_idle_ms(),
            total_ms: default_total_ms(),
        }
    }
}

impl ProviderConfig {
    /// The secrets with its keys, in the order in which they are used; each once.
    pub fn all_keys(&self) -> Vec<SecretName> {
        let mut names: Vec<SecretName> = Vec::new();
        for name in self.key.iter().chain(&self.keys) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// Why a provider cannot be used as it is configured. Each text names the provider and the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderConfigError {
    /// The address cannot be used.
    #[error("providers.{provider}.base_url: {why}")]
    Address {
        /// The provider's name in the configuration.
        provider: String,
        /// What is wrong with it.
        why: String,
    },
    /// A number is out of range.
    #[error("providers.{provider}.{setting}: must be at least 1")]
    Zero {
        /// The provider's name in the configuration.
        provider: String,
        /// The setting.
        setting: &'static str,
    },
}

/// Makes the provider that `config` describes; `name` is its name in the configuration. Opens no connection, and does
/// not need the key yet: a missing one is an error of the first request.
pub fn build(name: &str, config: &ProviderConfig, vault: &Vault) -> Result<Arc<dyn Provider>, ProviderConfigError> {
    let provider = || name.to_owned();
    let bounds = [
        ("attempts", u64::from(config.attempts)),
        ("first_byte_ms", config.first_byte_ms),
        ("idle_ms", config.idle_ms),
        ("total_ms", config.total_ms),
    ];
    for (setting, value) in bounds {
        if value == 0 {
            return Err(ProviderConfigError::Zero { provider: provider(), setting });
        }
    }
    let keys = keys(config, vault)
        .map_err(|error| ProviderConfigError::Address { provider: provider(), why: error.message })?;
    let authority = keys.any().authority();
    let limit = config.output_limit.or(config.quirks.output_limit);
    let quirks = Quirks {
        output_limit: Some(limit.unwrap_or_else(|| usual_limit(&authority))),
        replay_reasoning: config.replay_reasoning || config.quirks.replay_reasoning,
        ..config.quirks.clone()
    };
    let endpoint = Endpoint {
        origin: format!("{}@{}", config.api.name(), authority),
        keys,
        stream: config.stream,
        retry: Retry::new(config.attempts, Duration::from_millis(config.backoff_ms)),
        idle: Duration::from_millis(config.idle_ms),
        first: Duration::from_millis(config.first_byte_ms.max(config.idle_ms)),
    };
    Ok(match config.api {
        Api::Anthropic => Arc::new(Wire::new(endpoint, Anthropic::new(&config.base_url, quirks))),
        Api::OpenaiChat => Arc::new(Wire::new(endpoint, OpenaiChat::new(&config.base_url, quirks))),
        Api::OpenaiResponses => Arc::new(Wire::new(endpoint, OpenaiResponses::new(&config.base_url, quirks))),
        Api::Gemini => Arc::new(Wire::new(endpoint, Gemini::new(&config.base_url, quirks))),
        Api::Ollama => Arc::new(Wire::new(endpoint, Ollama::new(&config.base_url, quirks, config.windows()))),
    })
}

/// A client for each key; one without a key where there is none.
fn keys(config: &ProviderConfig, vault: &Vault) -> Result<Keys, egress::EgressError> {
    let names = config.all_keys();
    let mut clients: Vec<HttpClient> =
        names.iter().map(|name| client(config, Some(name), vault)).collect::<Result<_, _>>()?;
    if clients.is_empty() {
        clients.push(client(config, None, vault)?);
    }
    Ok(Keys::new(clients, names, vault.clone()))
}

/// A client for a provider's list of models.
pub(crate) fn lister(config: &ProviderConfig, vault: &Vault) -> Result<HttpClient, egress::EgressError> {
    client(config, config.key.as_ref().or(config.keys.first()), vault)
}

fn client(config: &ProviderConfig, key: Option<&SecretName>, vault: &Vault) -> Result<HttpClient, egress::EgressError> {
    let timeouts = Timeouts {
        first_byte: Duration::from_millis(config.first_byte_ms),
        // Bytes alone are no progress: the reader of the stream keeps the tighter time of `idle_ms`.
        idle: Duration::from_millis(config.first_byte_ms.max(config.idle_ms)),
        total: Duration::from_millis(config.total_ms),
        ..Timeouts::default()
    };
    let secret = key.map(|key| (key.clone(), config.key_header.slot()));
    HttpClient::new(ClientConfig { secret, timeouts, ..ClientConfig::new(&config.base_url) }, vault.clone())
}

/// OpenAI deprecates `max_tokens` and its reasoning models refuse it; most compatible servers know nothing else.
fn usual_limit(authority: &str) -> OutputLimit {
    let host = authority.split(':').next().unwrap_or_default();
    let newer = ["api.openai.com", "openai.azure.com"];
    if newer.iter().any(|domain| host == *domain || host.ends_with(&format!(".{domain}"))) {
        OutputLimit::MaxCompletionTokens
    } else {
        OutputLimit::MaxTokens
    }
}
