//! Calls of the Bot API. Knows its envelope and its errors, not what the calls mean.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use egress::{ClientConfig, EgressError, EgressErrorKind, HttpClient, Method, Slot, Vault};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::SecretName;

use crate::format::neutral;

/// The most bytes of an answer. A hundred updates of the largest kind are far below.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// The most characters of the server's words that are repeated in an error.
const MAX_DESCRIPTION: usize = 200;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The server answered and said no.
    Refused {
        /// Its code: an HTTP status.
        code: u16,
        /// Its words, shortened and made harmless.
        description: String,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    Transport(EgressError),
    /// The answer was not one of the Bot API.
    Malformed,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { code, description, .. } => write!(f, "Telegram answered {code}: {description}"),
            Self::Transport(error) => write!(f, "Telegram was not reached: {error}"),
            Self::Malformed => f.write_str("Telegram's answer could not be understood"),
        }
    }
}

/// What every answer is wrapped in.
#[derive(Deserialize)]
struct Envelope {
    ok: bool,
    result: Option<Value>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

/// The Bot API at one address, with one bot's token.
pub(super) struct Api {
    config: ClientConfig,
    vault: Vault,
    /// Replaced as a whole when its connections seem to be dead.
    http: Mutex<HttpClient>,
}

impl Api {
    pub(super) fn new(api_base: &str, token: SecretName, vault: Vault) -> Result<Self, EgressError> {
        let config = ClientConfig { secret: Some((token, Slot::Path)), ..ClientConfig::new(api_base) };
        let http = Mutex::new(HttpClient::new(config.clone(), vault.clone())?);
        Ok(Self { config, vault, http })
    }

    /// Where the API is.
    pub(super) fn base(&self) -> &str {
        &self.config.base_url
    }

    /// Leaves all open connections behind.
    pub(super) fn renew(&self) {
        match HttpClient::new(self.config.clone(), self.vault.clone()) {
            Ok(http) => *self.http.lock().unwrap_or_else(PoisonError::into_inner) = http,
            Err(error) => tracing::warn!(%error, "the connections to Telegram could not be made anew"),
        }
    }

    /// Calls a method and gives its result. One attempt.
    pub(super) async fn call(
        &self,
        method: &str,
        body: &Value,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> Result<Value, CallError> {
        let http = self.http.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = http.request(Method::POST, &format!("/bot{{secret}}/{method}")).json(body).timeout(timeout);
        let response = request.send(cancel).await.map_err(CallError::Transport)?;
        let status = response.status();
        let bytes = match response.bytes_limited(MAX_ANSWER_BYTES).await {
            Ok(bytes) => bytes,
            // A refusal is one even if its words were lost.
            Err(_) if status >= 400 => Vec::new(),
            Err(error) => return Err(CallError::Transport(error)),
        };
        self.judge(status, &bytes)
    }

    fn judge(&self, status: u16, bytes: &[u8]) -> Result<Value, CallError> {
        let envelope = match serde_json::from_slice::<Envelope>(bytes) {
            Ok(envelope) => envelope,
            Err(_) if status >= 400 => {
                let description = "no explanation was given".to_owned();
                return Err(CallError::Refused { code: status, description, retry_after: None });
            }
            Err(_) => return Err(CallError::Malformed),
        };
        if envelope.ok {
            return envelope.result.ok_or(CallError::Malformed);
        }
        let seconds = envelope.parameters.and_then(|parameters| parameters.retry_after);
        Err(CallError::Refused {
            code: envelope.error_code.unwrap_or(status),
            description: self.harmless(&envelope.description.unwrap_or_default()),
            retry_after: seconds.map(Duration::from_secs),
        })
    }

    /// The server's words without secrets and without what a terminal would obey.
    fn harmless(&self, description: &str) -> String {
        let short: String = description.chars().take(MAX_DESCRIPTION).collect();
        let redactor = self.vault.redactor();
        neutral(&redactor.redact(&short)).replace('\n', " ")
    }
}

impl CallError {
    /// Whether the server may have carried the call out all the same.
    pub(super) fn may_have_worked(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code >= 500,
            Self::Malformed => true,
            Self::Transport(error) => match error.kind {
                EgressErrorKind::Timeout
                | EgressErrorKind::Closed
                | EgressErrorKind::TooLarge
                | EgressErrorKind::Cancelled
                | EgressErrorKind::Malformed => true,
                EgressErrorKind::Connect
                | EgressErrorKind::Tls
                | EgressErrorKind::Secret
                | EgressErrorKind::Invalid => false,
            },
        }
    }
}
