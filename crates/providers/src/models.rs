//! The built-in table of models, `models.toml`: what each holds, can do and costs. What the owner writes counts before it, and
//! what a vendor's list says after it. A model that nobody knows has no price. Start with [`ProviderConfig::facts`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::Prices;

use crate::{Api, ProviderConfig, Reasoning, ollama::DEFAULT_WINDOW};

/// The table, in its file's form.
const TABLE: &str = include_str!("../models.toml");

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The vendor's id in the table of vendors.
    pub vendor: String,
    /// The vendor's name of the model.
    pub id: String,
    /// How many tokens its context holds.
    pub context: u64,
    /// The most tokens of one answer.
    #[serde(default)]
    pub output: Option<u32>,
    /// Whether it reads pictures.
    #[serde(default)]
    pub images: bool,
    /// Whether it reads PDF documents.
    #[serde(default)]
    pub documents: bool,
    /// How it reasons; absent where it does and nobody says how it is told to.
    #[serde(default)]
    pub reasoning: Option<Reasoning>,
    /// What it costs.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// The day on which the prices were read, as `YYYY-MM-DD`.
    #[serde(default)]
    pub priced: Option<String>,
    /// The page on which they stood.
    #[serde(default)]
    pub source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    model: Vec<Model>,
}

/// All models of the table, sorted by vendor and id.
pub fn models() -> &'static [Model] {
    static MODELS: LazyLock<Vec<Model>> = LazyLock::new(|| {
        let table: Table = toml::from_str(TABLE).expect("the table is part of the program, and a test reads it");
        table.model
    });
    &MODELS
}

/// The row of a vendor's model. A name with a date at its end, as in `claude-opus-4-5-20251101`, is the model without it, unless
/// it has a row of its own.
pub fn model(vendor: &str, id: &str) -> Option<&'static Model> {
    let find = |id: &str| {
        let all = models();
        let found = all.binary_search_by(|row| (row.vendor.as_str(), row.id.as_str()).cmp(&(vendor, id)));
        found.ok().and_then(|index| all.get(index))
    };
    find(id).or_else(|| find(without_date(id)?))
}

/// The name without `-20251101` or `-2025-11-01` at its end; none where it has neither.
pub(crate) fn without_date(id: &str) -> Option<&str> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = id.rsplit_once('-')?;
    if digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

/// `[providers.NAME.models."MODEL"]`: what the owner knows better. What is absent is as the table has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// How many tokens its context holds.
    pub context_tokens: Option<u64>,
    /// The most tokens of one answer.
    pub max_output_tokens: Option<u32>,
    /// Whether it reads pictures.
    pub images: Option<bool>,
    /// Whether it reads PDF documents.
    pub documents: Option<bool>,
    /// How it reasons, and what it is told about it.
    pub reasoning: Option<Reasoning>,
    /// What it costs, in US dollars per million tokens.
    pub prices: Option<Prices>,
}

/// What is known of a model, from all sources together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelFacts {
    /// How many tokens its context holds, if known.
    pub context: Option<u64>,
    /// The most tokens of one answer, if known.
    pub output: Option<u32>,
    /// Whether it reads pictures, if known.
    pub images: Option<bool>,
    /// Whether it reads PDF documents, if known.
    pub documents: Option<bool>,
    /// How it reasons, if known.
    pub reasoning: Option<Reasoning>,
    /// What it costs; none when nobody says, which is not nothing.
    pub prices: Option<Prices>,
    /// Where the prices come from.
    pub priced: Priced,
}

/// Where a model's prices come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priced {
    /// Nobody knows them.
    #[default]
    Nowhere,
    /// The owner wrote them.
    Owner,
    /// The table, which read them on this day.
    Table(String),
    /// The vendor's own list, just now.
    Vendor,
}

impl ModelFacts {
    /// What these say, and the others where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (prices, priced) =
            if self.prices.is_some() { (self.prices, self.priced) } else { (other.prices, other.priced) };
        Self {
            context: self.context.or(other.context),
            output: self.output.or(other.output),
            images: self.images.or(other.images),
            documents: self.documents.or(other.documents),
            reasoning: self.reasoning.or(other.reasoning),
            prices,
            priced,
        }
    }
}

impl From<&Model> for ModelFacts {
    fn from(row: &Model) -> Self {
        Self {
            context: Some(row.context),
            output: row.output,
            images: Some(row.images),
            documents: Some(row.documents),
            reasoning: row.reasoning,
            prices: row.prices,
            priced: row.priced.clone().map_or(Priced::Nowhere, Priced::Table),
        }
    }
}

impl ProviderConfig {
    /// What is known of one of this provider's models without asking the vendor: what the owner wrote, then the table.
    pub fn facts(&self, name: &str) -> ModelFacts {
        let vendor = self.vendor.as_deref();
        let row = vendor.and_then(|vendor| model(vendor, name)).map(ModelFacts::from).unwrap_or_default();
        self.written(name).or(row)
    }

    /// How many tokens of a model's context are used: what the owner says of this model; otherwise `most`, or what the model holds
    /// where that is less. A long context is dear, so it is never used because it is there. A server that holds just what it is told
    /// to hold is told the same: see [`ProviderConfig::windows`].
    pub fn context(&self, name: &str, most: u64) -> u64 {
        let usual = (self.api == Api::Ollama).then_some(DEFAULT_WINDOW);
        let known = self.facts(name).context.or(usual);
        self.written(name).context.unwrap_or_else(|| known.map_or(most, |known| known.min(most)))
    }

    /// The contexts of the models of which the owner wrote it.
    pub(crate) fn windows(&self) -> BTreeMap<String, u64> {
        let names = self.models.keys().chain(self.context_tokens.keys());
        names.filter_map(|name| Some((name.clone(), self.written(name).context?))).collect()
    }

    /// What the owner wrote about a model.
    pub(crate) fn written(&self, name: &str) -> ModelFacts {
        let written = self.models.get(name).cloned().unwrap_or_default();
        let prices = written.prices.or_else(|| self.prices.get(name).copied());
        ModelFacts {
            context: written.context_tokens.or_else(|| self.context_tokens.get(name).copied()),
            output: written.max_output_tokens,
            images: written.images,
            documents: written.documents,
            reasoning: written.reasoning,
            prices,
            priced: if prices.is_some() { Priced::Owner } else { Priced::Nowhere },
        }
    }
}

/// How each model of a vendor reasons, as far as the table knows.
pub(crate) fn reasoning(vendor: &str) -> HashMap<&'static str, Reasoning> {
    let rows = models().iter().filter(|row| row.vendor == vendor);
    rows.filter_map(|row| Some((row.id.as_str(), row.reasoning?))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{Api, vendor};

    #[test]
    fn rows_are_sorted_and_of_known_vendors() {
        let keys: Vec<(&str, &str)> = models().iter().map(|row| (row.vendor.as_str(), row.id.as_str())).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "each once, in order");
        for row in models() {
            let name = format!("{}/{}", row.vendor, row.id);
            assert!(vendor(&row.vendor).is_some(), "{name}");
            assert!(row.context >= 4_096 && row.output.is_none_or(|output| u64::from(output) <= row.context), "{name}");
        }
    }

    /// A price that nobody can look up again is worth nothing.
    #[test]
    fn every_price_has_its_day_and_its_page() {
        for row in models() {
            let name = format!("{}/{}", row.vendor, row.id);
            assert_eq!(row.prices.is_some(), row.priced.is_some(), "{name}");
            assert_eq!(row.prices.is_some(), row.source.is_some(), "{name}");
            let Some(prices) = row.prices else { continue };
            assert!(prices.are_amounts() && prices.input > 0.0 && prices.output >= prices.input, "{name}");
            assert!(
                prices.cache_read.is_none_or(|read| read <= prices.input),
                "{name}: a cache is there to save money"
            );
            let dearer = |long: types::LongPrices| long.input >= prices.input && long.output >= prices.output;
            assert!(prices.above.is_none_or(|long| long.tokens < row.context && dearer(long)), "{name}");
            let day = row.priced.as_deref().unwrap();
            assert!(day.len() == 10 && day.starts_with("20") && day.split('-').count() == 3, "{name}: {day}");
            assert!(row.source.as_deref().unwrap().starts_with("https://"), "{name}");
        }
    }

    #[test]
    fn a_name_with_a_date_is_its_model() {
        let dated = model("anthropic", "claude-opus-5-5-20260923").unwrap();
        assert_eq!(dated.id, "claude-opus-5-5");
        assert_eq!(without_date("gpt-5.5-2026-04-23"), Some("gpt-5.5"));
        for other in ["gpt-5.5", "claude-opus-5", "kimi-k2-0905-preview", "a-12-b", "", "-20251101x"] {
            assert_eq!(without_date(other), None, "{other}");
        }
        assert!(model("anthropic", "gpt-5.5").is_none() && model("openai", "claude-opus-5-5").is_none());
    }

    #[test]
    fn the_owner_counts_before_the_table() {
        let row = model("anthropic", "claude-opus-5-5").unwrap();
        let mut config = ProviderConfig::new(Api::Anthropic, "http://127.0.0.1:9");
        assert_eq!(config.facts(&row.id), ModelFacts::default(), "a server that is in no table has no prices");
        config.vendor = Some("anthropic".to_owned());
        let facts = config.facts(&row.id);
        assert_eq!((facts.context, facts.prices), (Some(row.context), row.prices));
        assert_eq!(facts.priced, Priced::Table(row.priced.clone().unwrap()));
        assert_eq!((config.context(&row.id, 200_000), config.context(&row.id, u64::MAX)), (200_000, row.context));
        assert_eq!(config.context("nobody-knows-me", 200_000), 200_000);
        config.prices.insert(row.id.clone(), Prices::new(1.0, 2.0));
        config.context_tokens.insert(row.id.clone(), 50_000);
        let facts = config.facts(&row.id);
        assert_eq!((facts.context, facts.prices), (Some(50_000), Some(Prices::new(1.0, 2.0))));
        assert_eq!((facts.priced, facts.output), (Priced::Owner, row.output));
        let written = ModelConfig { context_tokens: Some(9_000), images: Some(false), ..ModelConfig::default() };
        config.models.insert(row.id.clone(), written);
        let facts = config.facts(&row.id);
        assert_eq!((facts.context, facts.images), (Some(9_000), Some(false)));
        assert_eq!(config.context(&row.id, 200_000), 9_000);
        assert_eq!(facts.prices, Some(Prices::new(1.0, 2.0)), "what the newer table leaves open, the older one says");
    }

    #[test]
    fn what_one_does_not_say_the_other_may() {
        let vendor =
            ModelFacts { prices: Some(Prices::new(9.0, 9.0)), priced: Priced::Vendor, ..ModelFacts::default() };
        let table = ModelFacts { context: Some(8), ..ModelFacts::default() };
        let both = table.or(vendor);
        assert_eq!((both.context, both.priced), (Some(8), Priced::Vendor));
    }
}
