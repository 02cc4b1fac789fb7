//! From the settings to the models that may be asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent::{Model, ModelRole, Models};
use egress::Vault;
use providers::{ProviderConfig, ProviderConfigError, Reasoning, known_models, practice::PracticeModel};
use types::Provider;

use crate::{
    Config,
    config::ModelName,
    practice,
    security::{has_web, is_small},
};

/// The models of a configuration. `instead` answers for all of them where a test gives one.
pub(crate) fn of(
    config: &Config,
    vault: &Vault,
    instead: Option<&Arc<dyn Provider>>,
) -> Result<Models, ProviderConfigError> {
    let mut built = Built { config, vault, instead, providers: BTreeMap::new() };
    let agent = &config.agent;
    let main: Vec<Model> =
        agent.model.iter().chain(&agent.fallback).map(|name| built.model(name)).collect::<Result<_, _>>()?;
    let main = if main.is_empty() { vec![built.unnamed()] } else { main };
    let reader = agent.reader.iter().map(|name| built.model(name)).collect::<Result<Vec<_>, _>>()?;
    let summariser = agent.summariser.iter().map(|name| built.model(name)).collect::<Result<Vec<_>, _>>()?;
    let more = built.choosable();
    Ok(Models::new(main)
        .with(ModelRole::Main, more)
        .with(ModelRole::Reader, reader)
        .with(ModelRole::Summariser, summariser))
}

/// Every model that the settings name.
pub(crate) fn named(config: &Config) -> Vec<&str> {
    let agent = &config.agent;
    let names = agent.model.iter().chain(&agent.fallback).chain(&agent.reader).chain(&agent.summariser);
    names.map(String::as_str).collect()
}

/// The providers whose models may be asked.
pub(crate) fn providers(config: &Config) -> BTreeSet<&str> {
    named(config).into_iter().filter_map(ModelName::parse).map(|name| name.provider).collect()
}

/// Providers, each built once: models of one share its connections.
struct Built<'a> {
    config: &'a Config,
    vault: &'a Vault,
    instead: Option<&'a Arc<dyn Provider>>,
    providers: BTreeMap<String, Arc<dyn Provider>>,
}

impl Built<'_> {
    /// What a session may choose beside the models that the settings name: all that is known of the configured providers, without small
    /// ones where tools or commands reach the web. One that cannot be built is left out: nobody has asked for it.
    fn choosable(&mut self) -> Vec<Model> {
        let config = self.config;
        let of = |(name, settings): (&String, &ProviderConfig)| -> Vec<String> {
            known_models(settings).into_iter().map(|listed| format!("{name}/{}", listed.id)).collect()
        };
        let names: Vec<String> = config.providers.iter().flat_map(of).collect();
        let web = has_web(config);
        let is_left_out = |name: &String| named(config).contains(&name.as_str()) || (web && is_small(name));
        let others = names.iter().filter(|name| !is_left_out(name));
        others.filter_map(|name| self.model(name).ok()).collect()
    }

    fn model(&mut self, name: &str) -> Result<Model, ProviderConfigError> {
        // The configuration was checked, so that the name has both parts and the provider is there.
        let Some(parts) = ModelName::parse(name) else { return Ok(self.unnamed()) };
        let Some(settings) = self.config.providers.get(parts.provider) else { return Ok(self.unnamed()) };
        let provider = match (self.instead, self.providers.get(parts.provider)) {
            (Some(instead), _) => instead.clone(),
            (None, Some(built)) => built.clone(),
            (None, None) => providers::build(parts.provider, settings, self.vault)?,
        };
        self.providers.insert(parts.provider.to_owned(), provider.clone());
        let (facts, agent) = (settings.facts(parts.model), &self.config.agent);
        let reasons = facts.reasoning != Some(Reasoning::None);
        Ok(Model {
            name: name.to_owned(),
            id: parts.model.to_owned(),
            provider,
            prices: facts.prices,
            context_tokens: settings.context(parts.model, agent.context_tokens),
            max_output_tokens: facts.output.map_or(agent.max_output_tokens, |most| most.min(agent.max_output_tokens)),
            thinking_tokens: agent.thinking_tokens.filter(|_| reasons),
            is_weak: is_small(name),
        })
    }

    /// Who answers where no model is chosen.
    fn unnamed(&self) -> Model {
        Model {
            name: practice::MODEL.to_owned(),
            id: practice::MODEL.to_owned(),
            provider: self.instead.cloned().unwrap_or_else(|| Arc::new(PracticeModel::new())),
            prices: None,
            context_tokens: self.config.agent.context_tokens,
            max_output_tokens: self.config.agent.max_output_tokens,
            thinking_tokens: self.config.agent.thinking_tokens,
            is_weak: false,
        }
    }
}
