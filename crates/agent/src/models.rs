//! The models that may be asked, and which of them is asked next. A role has a list in order of preference; a model whose
//! provider fails is passed over. Must not know any vendor by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use store::{Store, StoreError, Tx};
use types::{Prices, Provider, ProviderError, SessionId, Timestamp};

use crate::breaker::Breaker;

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelRole {
    /// The turn itself, with tools.
    Main,
    /// Reading foreign text, without tools.
    Reader,
    /// Shortening a conversation, without tools.
    Summariser,
}

/// A model that may be asked.
#[derive(Clone)]
pub struct Model {
    /// Its name for the owner: `provider/model`.
    pub name: String,
    /// Its name for the vendor.
    pub id: String,
    /// Who answers. Models of one provider share their fate: see [`Model::provider_name`].
    pub provider: Arc<dyn Provider>,
    /// What it costs, if known.
    pub prices: Option<Prices>,
    /// The size of its context in tokens.
    pub context_tokens: u64,
    /// The most tokens of one answer.
    pub max_output_tokens: u32,
    /// The reasoning budget of one answer in tokens.
    pub thinking_tokens: Option<u32>,
    /// Whether it is of a size that obeys whoever spoke last. A turn that began with a stronger one never goes on with it.
    pub is_weak: bool,
}

impl Model {
    /// The provider's name: the part of the name before the slash.
    pub fn provider_name(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(provider, _)| provider)
    }
}

/// All models that may be asked.
pub struct Models {
    main: Vec<Arc<Model>>,
    reader: Vec<Arc<Model>>,
    summariser: Vec<Arc<Model>>,
    /// Those that a session may choose beside the listed ones.
    more: Vec<Arc<Model>>,
    breakers: Mutex<BTreeMap<String, Breaker>>,
}

impl Models {
    /// One model for everything.
    pub fn one(model: Model) -> Self {
        Self::new([model])
    }

    /// Models for every role, the first before the others.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn new(main: impl IntoIterator<Item = Model>) -> Self {
        let main: Vec<Arc<Model>> = main.into_iter().map(Arc::new).collect();
        assert!(!main.is_empty(), "somebody must answer");
        Self { main, reader: Vec::new(), summariser: Vec::new(), more: Vec::new(), breakers: Mutex::default() }
    }

    /// Others for a role that has no tools; none means those of the main role.
    #[must_use]
    pub fn with(mut self, role: ModelRole, models: impl IntoIterator<Item = Model>) -> Self {
        let models = models.into_iter().map(Arc::new).collect();
        match role {
            ModelRole::Main => self.more = models,
            ModelRole::Reader => self.reader = models,
            ModelRole::Summariser => self.summariser = models,
        }
        self
    }

    /// The model that is preferred where nobody chose.
    pub fn first(&self) -> &Arc<Model> {
        &self.main[0]
    }

    /// The model that a session's turns begin with.
    pub fn of_session(&self, store: &Store, session: SessionId) -> Result<Arc<Model>, StoreError> {
        let chosen = chosen(store, session)?;
        Ok(chosen.and_then(|name| self.chosen(&name)).unwrap_or_else(|| self.first()).clone())
    }

    /// The model of this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.all().find(|model| model.name == name)
    }

    /// The models that a session may choose. Those of roles without tools are not among them.
    pub fn choosable(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.main.iter().chain(&self.more)
    }

    /// The model of this name, if it may run turns.
    pub(crate) fn chosen(&self, name: &str) -> Option<&Arc<Model>> {
        self.choosable().find(|model| model.name == name)
    }

    /// Every model, in order of preference.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.main.iter().chain(&self.more).chain(&self.reader).chain(&self.summariser)
    }

    /// Who is asked next in a role: the first that has not failed in this turn and whose provider is not known to be out of
    /// order; else the first that has not failed. None when all have.
    pub(crate) fn pick(
        &self,
        role: ModelRole,
        chosen: Option<&str>,
        failed: &[String],
        now: Timestamp,
    ) -> Option<Arc<Model>> {
        let order = self.order(role, chosen);
        let strong = role == ModelRole::Main && order.first().is_some_and(|first| !first.is_weak);
        let is_out = |model: &Arc<Model>| failed.contains(&model.name) || (strong && model.is_weak);
        let mut left = order.into_iter().filter(|model| !is_out(model));
        let breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open =
            |model: &Arc<Model>| breakers.get(model.provider_name()).is_some_and(|breaker| breaker.is_open(now));
        let first = left.next()?;
        if !is_open(&first) {
            return Some(first);
        }
        Some(left.find(|model| !is_open(model)).unwrap_or(first))
    }

    fn order(&self, role: ModelRole, chosen: Option<&str>) -> Vec<Arc<Model>> {
        let own = match role {
            ModelRole::Main => &self.main,
            ModelRole::Reader => &self.reader,
            ModelRole::Summariser => &self.summariser,
        };
        let chosen = chosen.and_then(|name| self.chosen(name)).cloned();
        // Behind a list of its own come those that answer: they work where it does not.
        let own = if role == ModelRole::Main { &[] } else { own.as_slice() };
        let mut order: Vec<Arc<Model>> = Vec::new();
        for model in own.iter().chain(&chosen).chain(&self.main) {
            if order.iter().all(|known| known.name != model.name) {
                order.push(model.clone());
            }
        }
        order
    }

    /// A model answered.
    pub(crate) fn answered(&self, model: &Model) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.remove(model.provider_name());
    }

    /// A model failed in a way that another one might not.
    pub(crate) fn failed(&self, model: &Model, error: &ProviderError, now: Timestamp) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.entry(model.provider_name().to_owned()).or_default().failed(error, now);
    }
}

/// Makes a model the one that a session's turns begin with; none returns to the owner's settings. It may be one that does not
/// exist any more: then the settings hold.
pub fn choose(tx: &mut Tx<'_>, session: SessionId, model: Option<&str>) -> Result<(), StoreError> {
    tx.set_cursor(key(session), model.unwrap_or_default().to_owned())
}

/// The model that was chosen for a session.
pub fn chosen(store: &Store, session: SessionId) -> Result<Option<String>, StoreError> {
    Ok(store.cursor(&key(session))?.filter(|name| !name.is_empty()))
}

fn key(session: SessionId) -> String {
    format!("session-model:{session}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream::{self, BoxStream, StreamExt};
    use tokio_util::sync::CancellationToken;
    use types::{ModelEvent, ModelRequest, ProviderErrorKind};

    use super::*;

    struct Mute;

    impl Provider for Mute {
        fn stream(&self, _request: ModelRequest, _cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
            stream::empty().boxed()
        }
    }

    fn model(name: &str, is_weak: bool) -> Model {
        Model {
            name: name.to_owned(),
            id: name.to_owned(),
            provider: Arc::new(Mute),
            prices: None,
            context_tokens: 1,
            max_output_tokens: 1,
            thinking_tokens: None,
            is_weak,
        }
    }

    fn pick(models: &Models, role: ModelRole, chosen: Option<&str>, failed: &[&str], now: u64) -> Option<String> {
        let failed: Vec<String> = failed.iter().map(|name| (*name).to_owned()).collect();
        let now = Timestamp(0).plus(Duration::from_secs(now));
        models.pick(role, chosen, &failed, now).map(|model| model.name.clone())
    }

    #[test]
    fn the_first_that_works_is_asked() {
        let models = Models::new([model("a/1", false), model("a/2", false), model("b/1", false)]);
        assert_eq!(pick(&models, ModelRole::Main, None, &[], 0).as_deref(), Some("a/1"));
        assert_eq!(pick(&models, ModelRole::Main, None, &["a/1"], 0).as_deref(), Some("a/2"));
        assert_eq!(pick(&models, ModelRole::Main, None, &["a/1", "a/2", "b/1"], 0), None);
        assert_eq!(pick(&models, ModelRole::Main, Some("b/1"), &[], 0).as_deref(), Some("b/1"));
        assert_eq!(pick(&models, ModelRole::Main, Some("b/1"), &["b/1"], 0).as_deref(), Some("a/1"));
        assert_eq!(pick(&models, ModelRole::Main, Some("gone/1"), &[], 0).as_deref(), Some("a/1"));
        // What one model of a provider met, the next one would meet as well.
        models.failed(models.first(), &ProviderError::new(ProviderErrorKind::Auth, ""), Timestamp(0));
        assert_eq!(pick(&models, ModelRole::Main, None, &[], 0).as_deref(), Some("b/1"));
        assert_eq!(pick(&models, ModelRole::Main, None, &["a/1"], 0).as_deref(), Some("b/1"));
        assert_eq!(pick(&models, ModelRole::Main, None, &["b/1"], 0).as_deref(), Some("a/1"));
        assert_eq!(pick(&models, ModelRole::Main, None, &[], 61).as_deref(), Some("a/1"));
        models.answered(models.first());
        assert_eq!(pick(&models, ModelRole::Main, None, &[], 0).as_deref(), Some("a/1"));
    }

    #[test]
    fn a_strong_model_is_never_followed_by_a_weak_one_that_may_act() {
        let weak = || {
            Models::new([model("a/1", false), model("b/mini", true), model("c/1", false)])
                .with(ModelRole::Reader, [model("b/mini", true), model("a/1", false)])
        };
        let models = weak();
        assert_eq!(pick(&models, ModelRole::Main, None, &["a/1"], 0).as_deref(), Some("c/1"));
        assert_eq!(pick(&models, ModelRole::Main, None, &["a/1", "c/1"], 0), None);
        // One of a role without tools is not for the turn itself.
        assert_eq!(
            pick(&models.with(ModelRole::Reader, [model("d/1", false)]), ModelRole::Main, Some("d/1"), &[], 0)
                .as_deref(),
            Some("a/1")
        );
        let models = weak();
        // Whoever chose a weak one may have another weak one.
        assert_eq!(pick(&models, ModelRole::Main, Some("b/mini"), &[], 0).as_deref(), Some("b/mini"));
        // A reader has no tools.
        assert_eq!(pick(&models, ModelRole::Reader, None, &[], 0).as_deref(), Some("b/mini"));
        assert_eq!(pick(&models, ModelRole::Reader, Some("c/1"), &["b/mini"], 0).as_deref(), Some("a/1"));
        assert_eq!(pick(&models, ModelRole::Summariser, Some("c/1"), &[], 0).as_deref(), Some("c/1"));
    }
}
