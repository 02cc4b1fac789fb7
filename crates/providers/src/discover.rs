//! What models a vendor offers, by its own list, merged with what the owner and the table say. Bounded in pages, bytes and rows:
//! the list comes from outside. Start with [`list_models`].

mod read;

use std::time::Duration;

use egress::{HttpClient, Method, Vault};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use types::{ProviderError, ProviderErrorKind};

use crate::{
    ListForm, ModelFacts, ProviderConfig,
    errors::{WaitHeaders, from_egress, from_status},
    models::models,
};

/// The most pages of a list.
const MAX_PAGES: usize = 20;
/// The most bytes of one page. OpenRouter's list has some hundred kibibytes.
const MAX_PAGE_BYTES: u64 = 8 << 20;
/// The most models of a list.
const MAX_MODELS: usize = 5_000;
/// The most models that Ollama is asked about one by one.
const MAX_SHOWN: usize = 50;
/// The most bytes of an error's body.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A model that may be asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The vendor's name of it.
    pub id: String,
    /// What is known of it: what the owner wrote before the table, and the table before the vendor.
    pub facts: ModelFacts,
}

/// The models that the table and the owner know of a provider, sorted by name. Asks nobody.
pub fn known_models(config: &ProviderConfig) -> Vec<Listed> {
    let rows = models().iter().filter(|row| config.vendor.as_ref() == Some(&row.vendor)).map(|row| &row.id);
    let written = config.models.keys().chain(config.prices.keys()).chain(config.context_tokens.keys());
    let mut ids: Vec<&String> = rows.chain(written).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| Listed { id: id.clone(), facts: config.facts(id) }).collect()
}

/// The models that a provider's vendor lists, sorted by name. Fails as a request would: without a key, without a network; with
/// `NotFound` where the vendor has no list.
pub async fn list_models(
    config: &ProviderConfig,
    vault: &Vault,
    cancel: &CancellationToken,
) -> Result<Vec<Listed>, ProviderError> {
    let client = crate::config::lister(config, vault)
        .map_err(|error| ProviderError::new(ProviderErrorKind::BadRequest, error.message))?;
    let asker = Asker { client, cancel, form: config.lists };
    let versioned = |path: &str, version: &str| {
        let base = config.base_url.trim_end_matches('/');
        if base.ends_with(version) { path.to_owned() } else { format!("{version}{path}") }
    };
    let found = match config.lists {
        ListForm::None => {
            return Err(ProviderError::new(ProviderErrorKind::NotFound, "this vendor has no list of models"));
        }
        ListForm::Openai => read::openai(&asker.get(&openai_path(&config.base_url), &[]).await?),
        ListForm::Anthropic => {
            let path = versioned("/models", "/v1");
            asker.pages(&path, "after_id", read::anthropic).await?
        }
        ListForm::Gemini => {
            let path = versioned("/models", "/v1beta");
            asker.pages(&path, "pageToken", read::gemini).await?
        }
        ListForm::Ollama => asker.ollama(&config.base_url).await?,
    };
    let mut all: Vec<Listed> = found
        .into_iter()
        .take(MAX_MODELS)
        .map(|(id, facts)| Listed { facts: config.facts(&id).or(facts), id })
        .collect();
    all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    all.dedup_by(|a, b| a.id == b.id);
    Ok(all)
}

/// As for chats: a base address ends in the version, or has no path at all.
fn openai_path(base_url: &str) -> String {
    let after_scheme = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let bare = !after_scheme.trim_end_matches('/').contains('/');
    if bare { "/v1/models".to_owned() } else { "/models".to_owned() }
}

/// Models by name, with what their vendor says of them.
type Found = Vec<(String, ModelFacts)>;

struct Asker<'a> {
    client: HttpClient,
    cancel: &'a CancellationToken,
    form: ListForm,
}

impl Asker<'_> {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ProviderError> {
        self.ask(self.client.request(Method::GET, path).query(query)).await
    }

    async fn ask(&self, request: egress::Request) -> Result<Value, ProviderError> {
        let mut request = request.timeout(PATIENCE);
        if self.form == ListForm::Anthropic {
            request = request.header("anthropic-version", "2023-06-01");
        }
        let response = request.send(self.cancel).await.map_err(|error| from_egress(&error, false))?;
        if !response.is_success() {
            let status = response.status();
            let body = response.text_prefix(MAX_ERROR_BYTES).await;
            return Err(from_status(status, WaitHeaders::default(), &self.client.masked(&body)));
        }
        response.json_limited(MAX_PAGE_BYTES).await.map_err(|error| from_egress(&error, true))
    }

    /// All pages. `read` gives a page's models and the mark with which the next one is asked for.
    async fn pages(
        &self,
        path: &str,
        mark: &str,
        read: impl Fn(&Value) -> (Found, Option<String>),
    ) -> Result<Found, ProviderError> {
        let mut all = Found::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let query: Vec<(&str, &str)> = next.iter().map(|after| (mark, after.as_str())).collect();
            let (found, following) = read(&self.get(path, &query).await?);
            all.extend(found);
            // A vendor that gives the same mark again would give the same page for ever.
            match following.filter(|following| next.as_ref() != Some(following)) {
                Some(following) if all.len() < MAX_MODELS => next = Some(following),
                _ => break,
            }
        }
        Ok(all)
    }

    async fn ollama(&self, base_url: &str) -> Result<Found, ProviderError> {
        let api = if base_url.trim_end_matches('/').ends_with("/api") { "" } else { "/api" };
        let names = read::ollama_tags(&self.get(&format!("{api}/tags"), &[]).await?);
        let mut all = Found::new();
        for (index, name) in names.into_iter().enumerate() {
            let mut facts = ModelFacts::default();
            if index < MAX_SHOWN {
                let show = self.client.request(Method::POST, &format!("{api}/show")).json(&json!({"model": name}));
                facts = read::ollama_show(&self.ask(show).await?);
            }
            all.push((name, facts));
        }
        Ok(all)
    }
}
