//! What the loop is given. It must not find anything for itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use policy::{Grant, Redactor, Rules, budget::Limits};
use store::Store;
use types::{BoxFuture, Clock, SessionId, Tool, ToolSpec, TurnId, WorkspaceName};

use crate::{models::Models, reader, step::OpenStep};

/// Saves the workspace. Called before the first call of a turn that may change something; an error refuses the call and
/// is shown to the model.
pub type BeforeWrite = Arc<dyn Fn(TurnId, WorkspaceName) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Whether calls that change something may run at this moment; why not, for the model and the owner. Asked before each
/// such call: must be cheap.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The state of the files on which a session works in a workspace as the number of a snapshot: two calls give the same one if no file was changed in between.
/// An error refuses the call that it was asked for and is shown to the model.
pub type WorkspaceState =
    Arc<dyn Fn(SessionId, WorkspaceName) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// How many bytes a session has sent to the network since its turn began. Must be cheap.
pub type Sent = Arc<dyn Fn(types::SessionId) -> u64 + Send + Sync>;

/// The masking that is in force. Asked for at each use, since secrets are added while the daemon runs: must be cheap.
pub type Redaction = Arc<dyn Fn() -> Arc<Redactor> + Send + Sync>;

/// A text in which a secret was masked, and where it was.
#[derive(Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The session concerned.
    pub session: Option<SessionId>,
    /// The turn concerned.
    pub turn: Option<TurnId>,
    /// Where the text stood, after the word *in*: `the output of exec`.
    pub place: String,
    /// The text as it was. It must neither be kept nor shown.
    pub text: String,
}

impl fmt::Debug for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sighting").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Is told of every tool output in which a secret was masked: the owner has to hear of it.
pub type Seen = Arc<dyn Fn(Sighting) -> BoxFuture<'static, ()> + Send + Sync>;

/// The owner's rules as they are at each moment. All who hold one see a change at once, so that a turn that runs is judged by
/// the rules that the owner sees.
#[derive(Clone, Debug, Default)]
pub struct RulesInForce(Arc<RwLock<Arc<Rules>>>);

impl RulesInForce {
    /// The rules now.
    pub fn get(&self) -> Arc<Rules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force.
    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

/// Everything that a turn needs.
pub struct Deps {
    /// The durable state.
    pub store: Store,
    /// The models that may be asked.
    pub models: Models,
    /// The tools on offer.
    pub tools: Toolbox,
    /// The owner's rules.
    pub rules: RulesInForce,
    /// Masks known secrets.
    pub redactor: Redaction,
    /// Is told where secrets were seen.
    pub seen: Seen,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The limits and the prompt.
    pub settings: Settings,
    /// Saves the workspace before it is written to.
    pub before_write: BeforeWrite,
    /// How much went out.
    pub sent: Sent,
    /// Whether anything may be changed now.
    pub ready: Ready,
    /// Tells the state of a workspace, which an approval is bound to.
    pub workspace_state: WorkspaceState,
    /// Turns that were begun and do not run yet; starts empty.
    pub begun: Begun,
}

/// The limits and the prompt.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a turn may use.
    pub limits: Limits,
    /// How many bits of foreign text the readers of one session may tell it.
    pub reader_bits: u32,
    /// What is out of the ordinary.
    pub alarms: policy::alarm::Rules,
    /// How long an approval waits for the owner.
    pub approval_timeout: Duration,
    /// The system prompt; [`crate::system_prompt`] unless there is a reason.
    pub system: Arc<str>,
}

/// The tools in their fixed order, which the vendor's prompt cache depends on.
#[derive(Clone)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool<Grant>>>,
    specs: Arc<[ToolSpec]>,
    has_reader: bool,
}

impl Toolbox {
    /// Offers these tools in this order. Of two with one name, the first is used.
    pub fn new(tools: Vec<Arc<dyn Tool<Grant>>>) -> Self {
        let specs = tools.iter().map(|tool| tool.spec().clone()).collect();
        Self { tools, specs, has_reader: false }
    }

    /// Offers the reader as well, after all others. Of use where tools bring foreign text.
    #[must_use]
    pub fn with_reader(self) -> Self {
        let specs = self.specs.iter().cloned().chain([reader::spec()]).collect();
        Self { specs, has_reader: true, ..self }
    }

    /// Whether the reader is on offer.
    pub(crate) fn has_reader(&self) -> bool {
        self.has_reader
    }

    /// How the tools are described to the model.
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        self.specs.clone()
    }

    /// The tool of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn Tool<Grant>>> {
        self.tools.iter().find(|tool| tool.spec().name == name)
    }

    /// All names, for the model's eyes.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        names.join(", ")
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Toolbox({})", self.names())
    }
}

/// Turns that [`crate::begin`] began in this process and [`crate::run_turn`] has not taken up. A turn that is not here
/// was begun by a process that is gone, so that its open model call must be counted as spent.
#[derive(Debug, Default)]
pub struct Begun(Mutex<BTreeMap<TurnId, Option<OpenStep>>>);

impl Begun {
    pub(crate) fn put(&self, turn: TurnId, step: Option<OpenStep>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(turn, step);
    }

    pub(crate) fn take(&self, turn: TurnId) -> Option<Option<OpenStep>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&turn)
    }
}
