//! `factotum job`: long work of coding agents.

mod start;

use types::{Command, CommandReply, JobId, JobState, JobView, Seq, WorkspaceName};

use super::complete::complete;
use crate::{args::Context, error::Stop, runtime, show, watch::Watch};

/// Lets coding agents do long work, and shows what becomes of it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Job {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Let a coding agent work on something until it is done
    Start(Box<start::Start>),
    /// List the recipes, or tell what one would do
    Recipes {
        /// Which
        #[arg(value_name = "RECIPE")]
        recipe: Option<WorkspaceName>,
        /// A parameter of it, as name=value
        #[arg(long, value_name = "NAME=VALUE", requires = "recipe", value_parser = start::pair)]
        set: Vec<(String, String)>,
    },
    /// List the jobs, latest first
    List,
    /// Show one
    Show {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
    },
    /// Say something to the coding agent of one
    Steer {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
        /// What
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
    },
    /// Work in place of the coding agent of one, in its sandbox and its conversation; `factotum attach` shows it
    Takeover {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
    },
    /// Give one back to its coding agent
    Handback {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
    },
    /// End one; what it has done stays in its tree
    Stop {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
    },
    /// Go on with one that is over
    Resume {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
        /// Another coding agent, which is told what was done and tried so far
        #[arg(long, value_name = "NAME")]
        coder: Option<String>,
        /// What it is to do now
        #[arg(value_name = "TEXT")]
        text: Vec<String>,
    },
    /// Show what one has changed since it began
    Diff {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
    },
    /// Show what happened in one
    Logs {
        /// Its number
        #[arg(value_name = "JOB")]
        job: i64,
        /// Go on until it is over
        #[arg(short, long)]
        follow: bool,
    },
}

impl Job {
    /// Does what was asked.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            None | Some(What::List) => list(context),
            Some(What::Start(start)) => start.run(context),
            Some(What::Recipes { recipe: None, .. }) => recipes(context),
            Some(What::Recipes { recipe: Some(recipe), set }) => recipe_page(context, &recipe, &set),
            Some(What::Show { job }) => show_one(context, JobId(job)),
            Some(What::Steer { job, text }) => {
                tell(context, Command::SteerJob { job: JobId(job), text: text.join(" ") })
            }
            Some(What::Takeover { job }) => tell(context, Command::TakeOverJob { job: JobId(job) }),
            Some(What::Handback { job }) => tell(context, Command::HandBackJob { job: JobId(job) }),
            Some(What::Stop { job }) => tell(context, Command::StopJob { job: JobId(job) }),
            Some(What::Resume { job, coder, text }) => {
                let text = Some(text.join(" ")).filter(|text| !text.trim().is_empty());
                tell(context, Command::ResumeJob { job: JobId(job), coder, text })
            }
            Some(What::Diff { job }) => diff(context, JobId(job)),
            Some(What::Logs { job, follow }) => logs(context, JobId(job), follow),
        }
    }
}

fn tell(context: &Context, command: Command) -> Result<(), Stop> {
    runtime::ask(async {
        let client = context.client().await?;
        let reply: CommandReply = complete(context, &client, command).await?;
        super::tell(context.output, &reply)
    })
}

fn list(context: &Context) -> Result<(), Stop> {
    runtime::ask(async {
        let jobs = context.client().await?.jobs().await?;
        context.output.fact(&jobs, |jobs| match jobs.as_slice() {
            [] => "there are no jobs".to_owned(),
            jobs => jobs.iter().map(show::job_line).collect::<Vec<_>>().join("\n"),
        })
    })
}

fn recipes(context: &Context) -> Result<(), Stop> {
    runtime::ask(async {
        let list = context.client().await?.recipes().await?;
        context.output.fact(&list, |list| daemon::terminal::neutral(&list.lines().join("\n")))
    })
}

fn recipe_page(context: &Context, recipe: &WorkspaceName, set: &[(String, String)]) -> Result<(), Stop> {
    runtime::ask(async {
        let set: Vec<(&str, String)> = set.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let view = context.client().await?.recipe(recipe, &set).await?;
        context.output.fact(&view, |view| daemon::terminal::neutral(&view.to_string()))
    })
}

fn show_one(context: &Context, job: JobId) -> Result<(), Stop> {
    runtime::ask(async {
        let view = context.client().await?.job(job).await?;
        context.output.fact(&view, show::job)
    })
}

fn diff(context: &Context, job: JobId) -> Result<(), Stop> {
    runtime::ask(async {
        let diff = context.client().await?.job_diff(job).await?;
        context.output.fact(&diff, |diff| daemon::terminal::neutral(&diff.patch))
    })
}

fn logs(context: &Context, job: JobId, follow: bool) -> Result<(), Stop> {
    runtime::ask(async {
        let client = context.client().await?;
        let mut view: JobView = client.job(job).await?;
        let mut after = Seq(0);
        loop {
            let batch = client.job_log(job, after).await?;
            let Some(last) = batch.iter().filter_map(|envelope| envelope.seq).max() else { break };
            after = last;
            for envelope in &batch {
                print(context, envelope)?;
            }
        }
        let mut watch = Watch::new(client.clone(), view.session, after);
        while follow && !matches!(view.state, JobState::Ended { .. }) {
            let envelope = watch.next().await?;
            print(context, &envelope)?;
            if matches!(envelope.event, types::Event::JobFinished { .. }) {
                view = client.job(job).await?;
            }
        }
        Ok(())
    })
}

fn print(context: &Context, envelope: &types::Envelope) -> Result<(), Stop> {
    match daemon::terminal::event(&envelope.event) {
        Some(text) => context.output.fact(envelope, |_| text),
        None if context.output.is_json() => context.output.fact(envelope, |_| String::new()),
        None => Ok(()),
    }
}
