//! What the API's reads answer. Clients depend on these shapes; the store's records may change behind them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use types::{Block, Label, MessageId, Origin, Prices, Role, Seq, SessionId, Timestamp, TurnEnd, TurnId, WorkspaceName};

/// `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The journal's end.
    pub last_seq: Seq,
}

/// One session, as `GET /v1/sessions` lists it, latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Its number.
    pub id: SessionId,
    /// Its key, if it has one; the main session's is `main`.
    pub key: Option<String>,
    /// Its title.
    pub title: String,
    /// The workspace it works in.
    pub workspace: WorkspaceName,
    /// Its label.
    pub label: Label,
    /// When it was last used.
    pub updated_at: Timestamp,
    /// Whether messages without a session go here.
    pub current: bool,
    /// The turn that runs in it.
    pub running: Option<TurnId>,
}

/// `GET /v1/models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelsView {
    /// The models, by provider and name.
    pub models: Vec<ModelView>,
    /// Vendors that could not be asked, each with what to do.
    pub problems: Vec<String>,
}

/// A model that may be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelView {
    /// Its name, as `provider/model`.
    pub name: String,
    /// Whether turns of the present session begin with it.
    pub current: bool,
    /// How many tokens its context holds, if known.
    pub context: Option<u64>,
    /// The most tokens of one answer, if known.
    pub output: Option<u32>,
    /// Whether it reads pictures, if known.
    pub images: Option<bool>,
    /// Whether it reads PDF documents, if known.
    pub documents: Option<bool>,
    /// Whether it reasons before it answers, if known.
    pub reasons: Option<bool>,
    /// What it costs, in US dollars per million tokens; none when nobody knows.
    pub prices: Option<Prices>,
    /// Where the prices come from: the day on which they were read, `yours`, or `now` from the vendor.
    pub priced: Option<String>,
}

/// What a model has cost this month (UTC): `GET /v1/models/costs`. A task counts for the model that it began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelCost {
    /// The model.
    pub model: String,
    /// How many calls there were.
    pub calls: u64,
    /// What they cost, in millionths of a US dollar; what is set aside for open ones counts.
    pub cost_micro_usd: u64,
    /// All input tokens.
    pub input_tokens: u64,
    /// Those of them that came from the vendor's cache.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

/// One coding agent, as `GET /v1/coders` lists it, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoderView {
    /// Its name under `[coders]`; for one without a table, its kind.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The version that is used; none for a program of the owner's.
    pub version: Option<String>,
    /// All installed versions, oldest first.
    pub installed: Vec<String>,
    /// The newest version that can be installed.
    pub newest: Option<String>,
    /// The program.
    pub program: Option<String>,
    /// The SHA-256 of the program as it is now, in hexadecimal; none where nothing was recorded to compare it with.
    pub sha256: Option<String>,
    /// Whether that is what was installed.
    pub checksum_ok: Option<bool>,
    /// The name of the vendor's secret.
    pub secret: Option<String>,
    /// What is missing before it can work, each with what to do.
    pub problems: Vec<String>,
}

/// Why a session has its label: `GET /v1/sessions/ID/why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhyView {
    /// The session.
    pub session: SessionId,
    /// Its label.
    pub label: Label,
    /// The workspace it works in.
    pub workspace: WorkspaceName,
    /// The label of that workspace's files, which whoever reads one takes on.
    pub workspace_label: Label,
    /// How many bits of foreign text its readers have told it.
    pub reader_bits: u32,
    /// The blocks that raised it, and later foreign ones, newest last.
    pub causes: Vec<CauseView>,
}

/// One block that a label comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CauseView {
    /// The turn in which it entered.
    pub turn: Option<TurnId>,
    /// The vendor's id of the call whose result it was.
    pub call: Option<String>,
    /// Its own label.
    pub label: Label,
    /// Whether the session's label rose with it.
    pub rose: bool,
    /// What it was, in a line; may hold foreign text.
    pub cause: String,
    /// When it entered.
    pub at: Timestamp,
}

/// One message, as `GET /v1/sessions/ID/messages` lists it, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    /// Its number.
    pub id: MessageId,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// Whose side it is on.
    pub role: Role,
    /// Its content.
    pub blocks: Vec<Block>,
    /// When it was stored.
    pub at: Timestamp,
}

/// One turn: `GET /v1/turns/ID`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TurnView {
    /// Its number.
    pub id: TurnId,
    /// Its session.
    pub session: SessionId,
    /// What set it off.
    pub origin: Origin,
    /// The model that answers.
    pub model: String,
    /// How many model calls it has made.
    pub step: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; none while it runs.
    pub end: Option<TurnEnd>,
    /// The final text, once it has ended.
    pub text: String,
    /// What it changed in its workspace, such as `1 file changed, +3 -1`; none when it changed nothing or still runs.
    pub changes: Option<String>,
}

/// What a job has changed since it began: `GET /v1/jobs/ID/diff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobDiff {
    /// A patch as git writes it; foreign text.
    pub patch: String,
}

/// The recipes of jobs: `GET /v1/jobs/recipes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipesView {
    /// By name, without their plans.
    pub recipes: Vec<RecipeView>,
    /// The owner's files that are no recipes, each with its line and what is wrong.
    pub mistakes: Vec<String>,
}

impl RecipesView {
    /// All of it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mistakes = self.mistakes.iter().map(|mistake| format!("not a recipe: {mistake}"));
        self.recipes.iter().map(RecipeView::line).chain(mistakes).collect()
    }
}

/// One recipe: `GET /v1/jobs/recipes/NAME`, with values of its parameters in the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipeView {
    /// Its name.
    pub name: String,
    /// What it does, in a line.
    pub title: String,
    /// Whether it is a file of the owner's.
    pub own: bool,
    /// What can be said for it, by name.
    pub parameters: Vec<RecipeParameter>,
    /// What it would do, with the whole task. What must be said and was not stands there as `<name>`. Empty in a list.
    pub plan: String,
}

/// What can be said for a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipeParameter {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// What it may be, in words.
    pub kind: String,
    /// What it is when nothing is said; none where something must be said, empty where it may be left out.
    pub default: Option<String>,
}

impl RecipeView {
    /// In one line.
    pub fn line(&self) -> String {
        let parameters = self.parameters.iter().map(|one| match one.default {
            None => one.name.clone(),
            Some(_) => format!("[{}]", one.name),
        });
        let parameters = parameters.collect::<Vec<_>>().join(" ");
        format!("{}: {} ({parameters})", self.name, self.title)
    }
}

impl std::fmt::Display for RecipeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whose =
            if self.own { format!("recipes/{}.toml in the home", self.name) } else { "of the program".to_owned() };
        writeln!(f, "{}: {} ({whose})\n\nParameters:", self.name, self.title)?;
        for parameter in &self.parameters {
            let default = match parameter.default.as_deref() {
                None => "must be given".to_owned(),
                Some("") => "may be left out".to_owned(),
                Some(default) => format!("`{default}` if left out"),
            };
            writeln!(f, "  {}: {} ({}; {default})", parameter.name, parameter.about, parameter.kind)?;
        }
        if self.plan.is_empty() { Ok(()) } else { write!(f, "\n{}", self.plan) }
    }
}

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The home directory.
    pub home: String,
    /// The TCP address of the API.
    pub address: String,
    /// The configured model; `practice/scripted` without a provider.
    pub model: String,
    /// Turns that run, with their sessions.
    pub running: Vec<Running>,
    /// Messages that wait for delivery.
    pub undelivered: usize,
    /// Requests that wait for the owner.
    pub open_requests: usize,
    /// Money spent today (UTC), in millionths of a dollar, reservations included.
    pub spent_today_micro_usd: u64,
    /// And this month.
    pub spent_month_micro_usd: u64,
    /// The sandbox's self-test.
    pub canary: CanaryView,
    /// Each messenger.
    pub channels: Vec<ChannelView>,
    /// Each place that the audit log is shipped to.
    pub shipping: Vec<ShippingView>,
}

/// How far the audit log is shipped to one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShippingView {
    /// The target's name.
    pub name: String,
    /// The last record that it confirmed.
    pub shipped: u64,
    /// The last record of the log.
    pub recorded: u64,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
}

/// A turn that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Running {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
}

/// What the sandbox's self-test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CanaryView {
    /// It has not ended; unattended work waits.
    Running,
    /// Every escape failed.
    Held {
        /// How many escapes were tried.
        attempts: usize,
        /// How quotas are held.
        quota: String,
        /// Whether they hold for the sandbox as a whole. Where not, unattended work is refused.
        is_bounded: bool,
    },
    /// Something escaped, or the sandbox cannot be built; unattended work is refused.
    Failed {
        /// What, why and what to do.
        error: String,
    },
}

/// The state of one messenger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelView {
    /// Its id, such as `telegram/home`.
    pub id: String,
    /// In words.
    pub state: String,
    /// The last error, without secrets.
    pub last_error: Option<String>,
}

/// One check of `factotum doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub state: CheckState,
    /// In a sentence.
    pub detail: String,
    /// What to do, where something is wrong.
    pub hint: Option<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Works, with a limit that the owner should know of.
    Warning,
    /// Does not work.
    Bad,
    /// Was not looked at.
    Skipped,
}

/// One saved state of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotView {
    /// Its number.
    pub id: types::SnapshotId,
    /// Of which workspace.
    pub workspace: WorkspaceName,
    /// The turn before which it was taken.
    pub turn: Option<TurnId>,
    /// When.
    pub at: Timestamp,
}
