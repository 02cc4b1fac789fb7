//! `factotum job start`: the options of a job.

use std::collections::BTreeMap;

use daemon::client::Client;
use types::{
    Cadence, Command, DoneWhen, Failure, JobLimits, JobSpec, MicroUsd, Place, RecipeCall, Then, WorkspaceName,
};

use crate::{
    args::Context,
    error::{Stop, user},
    runtime,
    verbs::complete::complete,
};

/// Lets a coding agent work on something until it is done, a limit is reached or you stop it.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// What is to be done
    #[arg(value_name = "TASK", required_unless_present = "recipe")]
    task: Vec<String>,
    /// A recipe in place of the task; `factotum job recipes` lists them
    #[arg(long, value_name = "RECIPE", conflicts_with_all = OF_THE_RECIPE)]
    recipe: Option<String>,
    /// A parameter of the recipe, as name=value
    #[arg(long, value_name = "NAME=VALUE", requires = "recipe", value_parser = pair)]
    set: Vec<(String, String)>,
    /// The coding agent: a name under [coders], or factotum for our own loop
    #[arg(long, value_name = "NAME")]
    coder: Option<String>,
    /// The model, as the coding agent names it
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The workspace [default: that of the present session]
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
    /// Work in a tree of its own, on this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// What a new branch starts from
    #[arg(long, value_name = "REF", requires = "branch")]
    base: Option<String>,
    /// It is done when this command exits with 0
    #[arg(long, value_name = "COMMAND")]
    done: Option<String>,
    /// How long that command may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DoneWhen::USUAL_S, requires = "done")]
    done_timeout: u64,
    /// Files that must stay as they are, by glob
    #[arg(long, value_name = "GLOB", requires = "done")]
    pin: Vec<String>,
    /// The most prompts
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// The most tools used
    #[arg(long, value_name = "N")]
    iterations: Option<u32>,
    /// The most that it may cost, in US dollars
    #[arg(long, value_name = "USD")]
    usd: Option<f64>,
    /// The most tokens
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// The longest that it may take, in minutes
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Report after so many tools (5), or minutes (10m), or at the end only (end)
    #[arg(long, value_name = "CADENCE", default_value = "end", value_parser = cadence)]
    every: Cadence,
    /// What becomes of finished work [default: commit with --branch, else nothing]
    #[arg(long, value_enum)]
    then: Option<What>,
    /// A value of your choice: the same one starts one job only
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// It stays in the tree
    Nothing,
    /// It is committed
    Commit,
    /// It is pushed, after your approval
    Push,
    /// A draft pull request is opened, after your approval
    Pr,
}

impl From<What> for Then {
    fn from(what: What) -> Self {
        match what {
            What::Nothing => Self::Nothing,
            What::Commit => Self::Commit,
            What::Push => Self::Push,
            What::Pr => Self::DraftPullRequest,
        }
    }
}

fn cost(usd: Option<f64>) -> Result<Option<MicroUsd>, Failure> {
    match usd {
        Some(usd) if !usd.is_finite() || usd < 0.0 => {
            Err(user("--usd is no amount of money", "write dollars, such as 2.5"))
        }
        usd => Ok(usd.map(MicroUsd::from_dollars)),
    }
}

/// What a recipe says by itself.
const OF_THE_RECIPE: [&str; 8] = ["task", "base", "done", "pin", "rounds", "iterations", "tokens", "minutes"];

/// Reads `name=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write it as name=value".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn cadence(text: &str) -> Result<Cadence, String> {
    let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count > 0);
    let wrong = || "write a number of tools such as 5, of minutes such as 10m, or end".to_owned();
    match text.strip_suffix('m') {
        _ if text == "end" => Ok(Cadence::End),
        Some(minutes) => count(minutes).map(|count| Cadence::Minutes { count }).ok_or_else(wrong),
        None => count(text).map(|count| Cadence::Iterations { count }).ok_or_else(wrong),
    }
}

impl Start {
    /// Starts it.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        runtime::ask(async {
            let client = context.client().await?;
            let id = self.id.clone();
            let command = match self.recipe.clone() {
                Some(recipe) => Command::StartRecipe { call: Box::new(self.call(recipe)?), id },
                None => {
                    let workspace = self.workspace(&client).await?;
                    Command::StartJob { spec: Box::new(self.spec(workspace)?), id }
                }
            };
            let reply = complete(context, &client, command).await?;
            crate::verbs::tell(context.output, &reply)
        })
    }

    /// The named workspace, or that of the present session.
    async fn workspace(&self, client: &Client) -> Result<WorkspaceName, Failure> {
        if let Some(workspace) = self.workspace.clone() {
            return Ok(workspace);
        }
        let sessions = client.sessions().await?;
        let present = sessions.into_iter().find(|session| session.current);
        present
            .map(|session| session.workspace)
            .ok_or_else(|| user("no workspace is known", "name one with --workspace"))
    }

    fn call(self, recipe: String) -> Result<RecipeCall, Failure> {
        let mut set = BTreeMap::new();
        for (name, value) in self.set {
            if set.insert(name.clone(), value).is_some() {
                return Err(user(format!("`{name}` is set twice"), "give each parameter once"));
            }
        }
        Ok(RecipeCall {
            recipe,
            set,
            coder: self.coder,
            model: self.model,
            workspace: self.workspace,
            branch: self.branch,
            cost: cost(self.usd)?,
            report: Some(self.every),
            then: self.then.map(Then::from),
        })
    }

    fn spec(self, workspace: WorkspaceName) -> Result<JobSpec, Failure> {
        let usual = JobLimits::default();
        let cost = cost(self.usd)?;
        let usual_then = if self.branch.is_some() { Then::Commit } else { Then::Nothing };
        let then = self.then.map_or(usual_then, Then::from);
        let base = self.base;
        Ok(JobSpec {
            brief: self.task.join(" "),
            coder: self.coder.unwrap_or_default(),
            model: self.model,
            workspace,
            place: self.branch.map_or(Place::Workspace, |branch| Place::Branch { branch, base }),
            done: self.done.map(|command| DoneWhen { command, timeout_s: self.done_timeout, pinned: self.pin }),
            limits: JobLimits {
                rounds: self.rounds.unwrap_or(usual.rounds),
                iterations: self.iterations.unwrap_or(usual.iterations),
                cost,
                tokens: self.tokens,
                minutes: self.minutes.unwrap_or(usual.minutes),
                same_failures: usual.same_failures,
            },
            report: self.every,
            then,
            recipe: None,
            phases: Vec::new(),
            review: None,
        })
    }
}
