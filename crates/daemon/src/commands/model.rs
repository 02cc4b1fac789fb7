//! Models: which there are, which one a session's turns begin with, whether one answers, and what each has cost.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use providers::{Listed, ModelFacts, Priced, ProviderConfig, Reasoning, explain, known_models, list_models};
use serde_json::{Value, json};
use store::audit::{AuditEntry, AuditKind};
use tokio_util::sync::CancellationToken;
use types::{Command, Failure, Message, MicroUsd, ModelEvent, ModelReply, ModelRequest, ProviderError, SessionId};

use crate::{
    Config,
    api::views::{ModelCost, ModelView, ModelsView},
    config::ModelName,
    core::Core,
    failure::{internal, network, stored, user},
    security::{has_web, is_small},
};

/// The most tokens of a test's answer: models that reason need some before they say a word.
const TEST_TOKENS: u32 = 1_024;
/// The longest a test may take, in milliseconds.
const TEST_MS: u64 = 90_000;
/// How many models `/model` names.
const SHOWN: usize = 30;

/// The models of the configured providers, or of one of them. With `all`, their vendors are asked for more.
pub(crate) async fn list(core: &Core, all: bool, only: Option<&str>) -> Result<ModelsView, Failure> {
    let live = core.live();
    let config = &live.config;
    if let Some(name) = only.filter(|name| !config.providers.contains_key(*name)) {
        let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        let name: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        return Err(user(format!("there is no provider `{name}`"), format!("there are: {}", names.join(", "))));
    }
    if all {
        record(core, None, json!({ "command": "list_models", "asked": only })).await?;
    }
    let current = current(core, core.current_session()?)?;
    let (mut models, mut problems) = (Vec::new(), Vec::new());
    for (name, settings) in config.providers.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let mut found = known(config, name, settings);
        if all {
            match list_models(settings, &core.vault, &CancellationToken::new()).await {
                Ok(listed) => merge(&mut found, listed),
                Err(error) => {
                    let explained = explain(name, settings, "", &error);
                    problems.push(format!("{name}: {}; {}", explained.what, explained.hint));
                }
            }
        }
        models.extend(found.into_iter().map(|listed| view(name, listed, &current)));
    }
    Ok(ModelsView { models, problems })
}

/// What is known of a provider's models without asking: those of the table, and those that the configuration names.
fn known(config: &Config, provider: &str, settings: &ProviderConfig) -> Vec<Listed> {
    let named = crate::models::named(config);
    let named = named.into_iter().filter_map(ModelName::parse).filter(|name| name.provider == provider);
    let mut found = known_models(settings);
    let named = named.map(|name| Listed { id: name.model.to_owned(), facts: settings.facts(name.model) });
    merge(&mut found, named.collect());
    found
}

/// Adds models, of which the added ones know more.
fn merge(found: &mut Vec<Listed>, more: Vec<Listed>) {
    found.retain(|one| more.iter().all(|other| other.id != one.id));
    found.extend(more);
    found.sort_by(|a, b| a.id.cmp(&b.id));
}

fn view(provider: &str, listed: Listed, current: &str) -> ModelView {
    let Listed { id, facts } = listed;
    let name = format!("{provider}/{id}");
    let ModelFacts { context, output, images, documents, reasoning, prices, priced } = facts;
    ModelView {
        current: name == current,
        name,
        context,
        output,
        images,
        documents,
        reasons: reasoning.map(|how| how != Reasoning::None),
        prices,
        priced: match priced {
            Priced::Nowhere => None,
            Priced::Owner => Some("yours".to_owned()),
            Priced::Table(day) => Some(day),
            Priced::Vendor => Some("now".to_owned()),
        },
    }
}

/// The name of the model that a session's turns begin with.
fn current(core: &Core, session: SessionId) -> Result<String, Failure> {
    Ok(core.live().deps.models.of_session(&core.store, session).map_err(stored)?.name.clone())
}

/// Makes a model the one that a session's next turns begin with; none returns to the configured one.
pub(crate) async fn choose(core: &Core, session: SessionId, name: Option<String>) -> Result<String, Failure> {
    let live = core.live();
    let model = match &name {
        None => live.deps.models.first(),
        Some(name) => live
            .deps
            .models
            .choosable()
            .find(|model| model.name == *name)
            .ok_or_else(|| not_there(&live.config, name))?,
    };
    let mut text = format!("{} answers in session {session} from its next task on", model.name);
    if model.prices.is_none() {
        text.push_str("; nobody knows what it costs, so its costs are not counted");
    }
    if model.is_weak {
        text.push_str("; it is a small model, and those obey whoever spoke last");
    }
    record(core, Some(session), json!({ "command": "use_model", "model": &name })).await?;
    core.store.transact(move |tx| agent::choose(tx, session, name.as_deref())).await.map_err(stored)?;
    Ok(text)
}

fn not_there(config: &Config, name: &str) -> Failure {
    let shown: String = name.chars().filter(|letter| !letter.is_control()).take(128).collect();
    let hint = match ModelName::parse(name) {
        Some(_) if is_small(name) && has_web(config) => {
            "a small model obeys whoever spoke last, and tools or commands may reach the web: it answers only where `model` under [agent] names it, \
             since only then the sandbox is tried before the start"
                .to_owned()
        }
        Some(parts) if config.providers.contains_key(parts.provider) => {
            format!(
                "if the vendor has it, name it: [providers.{}.models.\"{}\"] in config.toml",
                parts.provider, parts.model
            )
        }
        Some(_) | None => "write it as provider/model; `factotum model list` names them".to_owned(),
    };
    user(format!("there is no model `{shown}`"), hint)
}

/// `/model`: who answers here, and who else could.
pub(crate) fn in_words(core: &Core) -> Result<String, Failure> {
    let live = core.live();
    let current = current(core, core.current_session()?)?;
    let others: Vec<&str> =
        live.deps.models.choosable().map(|model| model.name.as_str()).filter(|name| *name != current).collect();
    let mut text = format!("{current} answers in this session.");
    if !others.is_empty() {
        let more = others.len().saturating_sub(SHOWN);
        text.push_str(&format!("\n/model NAME changes that: {}", others[..others.len().min(SHOWN)].join(", ")));
        if more > 0 {
            text.push_str(&format!(" and {more} more (`factotum model list`)"));
        }
        text.push_str("\n/model default returns to the configured one");
    }
    Ok(text)
}

/// Makes a small real call and says in lines what came of it. A failure is explained by its kind.
pub(crate) async fn test(core: &Arc<Core>, name: Option<String>) -> Result<String, Failure> {
    let live = core.live();
    let name = name.or_else(|| live.config.agent.model.clone());
    let name = name.ok_or_else(|| user("no model is configured", "choose one with `factotum setup`"))?;
    let parts = ModelName::parse(&name).ok_or_else(|| not_there(&live.config, &name))?;
    let settings = live.config.providers.get(parts.provider).ok_or_else(|| not_there(&live.config, &name))?;
    let once = ProviderConfig { attempts: 1, total_ms: settings.total_ms.min(TEST_MS), ..settings.clone() };
    let provider = providers::build(parts.provider, &once, &core.vault)
        .map_err(|error| user(error.to_string(), "mend it in config.toml; `factotum config check`"))?;
    let facts = settings.facts(parts.model);
    let began = core.clock.now();
    let mut first = None;
    record(core, None, json!({ "command": "test_model", "model": &name })).await?;
    let mut events = provider.stream(small_request(parts.model, &facts), CancellationToken::new());
    while let Some(event) = events.next().await {
        match event {
            ModelEvent::Finished(reply) => {
                let all = core.clock.now().since(began);
                return Ok(answered(&name, &reply, &facts, first.unwrap_or(all), all));
            }
            ModelEvent::Failed(error) => return Err(explained(&parts, settings, &error)),
            ModelEvent::TextDelta(_) | ModelEvent::ThinkingDelta(_) | ModelEvent::ToolUseStarted { .. } => {
                first = first.or_else(|| Some(core.clock.now().since(began)));
            }
            ModelEvent::Restarted { .. } => {}
        }
    }
    Err(internal("the provider's stream has no end"))
}

/// Writes down what the owner wants before it is done: it changes who answers, or sends and costs something.
async fn record(core: &Core, session: Option<SessionId>, detail: Value) -> Result<(), Failure> {
    let entry = AuditEntry { session, turn: None, call: None, kind: AuditKind::Policy, detail };
    core.store.audit().append(entry).await.map(|_| ()).map_err(internal)
}

fn small_request(model: &str, facts: &ModelFacts) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        system: "You are being tested.".into(),
        tools: Arc::new([]),
        messages: vec![Message::user("Answer with the one word: ok")],
        max_output_tokens: facts.output.map_or(TEST_TOKENS, |most| most.min(TEST_TOKENS)),
        thinking_tokens: None,
        media: Arc::default(),
        output: None,
        cache_key: None,
    }
}

fn answered(name: &str, reply: &ModelReply, facts: &ModelFacts, first: Duration, all: Duration) -> String {
    let said = Message { role: types::Role::Assistant, blocks: reply.blocks.clone() }.text();
    let said: String = said.trim().chars().filter(|letter| !letter.is_control()).take(80).collect();
    let usage = reply.usage;
    let price = match (&facts.prices, &facts.priced) {
        (Some(prices), Priced::Table(day)) => format!("{} by the prices of {day}", prices.cost(&usage)),
        (Some(prices), _) => format!("{} by your prices", prices.cost(&usage)),
        (None, _) => "nobody knows what it costs; write its prices under [providers]".to_owned(),
    };
    format!(
        "{name} answers: {said:?}\nit began after {:.1} s and was done after {:.1} s\n{} tokens in, {} out; {price}",
        first.as_secs_f64(),
        all.as_secs_f64(),
        usage.context(),
        usage.output,
    )
}

fn explained(parts: &ModelName<'_>, settings: &ProviderConfig, error: &ProviderError) -> Failure {
    let explained = explain(parts.provider, settings, parts.model, error);
    network(format!("{}/{}: {}", parts.provider, parts.model, explained.what), explained.hint)
}

/// What this month (UTC) has cost, by the model that each task began with, dearest first.
pub(crate) fn costs(core: &Core) -> Result<Vec<ModelCost>, Failure> {
    let month = store::year_month(core.clock.now());
    let rows = core.store.spent_by_models(month).map_err(stored)?;
    let cost = |row: store::ModelSpend| ModelCost {
        model: row.model,
        calls: row.calls,
        cost_micro_usd: row.spend.total().0,
        input_tokens: row.spend.usage.context(),
        cached_tokens: row.spend.usage.cache_read,
        output_tokens: row.spend.usage.output,
    };
    Ok(rows.into_iter().map(cost).collect())
}

/// The lines of `/cost` that name models; empty when nothing was spent.
pub(crate) fn costs_in_words(core: &Core) -> Result<String, Failure> {
    let line =
        |cost: &ModelCost| format!("\n  {}: {} in {} calls", cost.model, MicroUsd(cost.cost_micro_usd), cost.calls);
    Ok(costs(core)?.iter().take(SHOWN).map(line).collect())
}

/// Carries out the commands about models.
pub(super) async fn carry_out(core: &Arc<Core>, command: Command) -> Result<String, Failure> {
    match command {
        Command::UseModel { session, model } => {
            let session = match session {
                Some(name) => core.find_session(&name)?.id,
                None => core.current_session()?,
            };
            choose(core, session, model).await
        }
        Command::TestModel { model } => test(core, model).await,
        _ => Err(internal("this is no command about models")),
    }
}
