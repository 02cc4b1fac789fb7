//! Carrying out what a chat says about jobs.

use std::sync::Arc;

use types::{CommandReply, Failure, JobSpec, Label};

use super::send::Incoming;
use crate::{
    core::Core,
    jobs::{self, Asked},
    slash::JobWord,
};

/// The most characters of a patch in a chat; the command line shows all of it.
const MAX_PATCH: usize = 3_000;

/// Does what the owner said about jobs.
pub(super) async fn carry_out(core: &Arc<Core>, incoming: &Incoming, word: JobWord) -> Result<CommandReply, Failure> {
    let said = Asked {
        origin: incoming.origin,
        channel: incoming.channel.clone(),
        reply_to: incoming.reply_to.clone(),
        message: incoming.remote_id.clone(),
        label: Label::CLEAN,
    };
    let text = match word {
        JobWord::Show(job) => jobs::shown(core, job)?,
        JobWord::Start(draft) => {
            let spec = draft.spec(jobs::present_workspace(core)?);
            return start(core, said, spec).await;
        }
        JobWord::Recipe(call) => return start(core, said, jobs::from_recipe(core, &call)?).await,
        JobWord::Recipes(None) => recipes(core),
        JobWord::Recipes(Some(call)) => jobs::recipe(core, &call)?.to_string(),
        JobWord::Steer(job, text) => jobs::steer(core, job, text, said).await?,
        JobWord::Stop(job) => jobs::stop_one(core, job).await?,
        JobWord::TakeOver(job) => jobs::take_over(core, job).await?,
        JobWord::HandBack(job) => jobs::hand_back(core, job).await?,
        JobWord::Resume(job, coder, text) => {
            let (job, _) = jobs::resume(core, job, coder, text).await?;
            format!("job {} waits for a place to go on", job.id)
        }
        JobWord::Diff(job) => {
            let patch = jobs::diff(core, job).await?;
            let shown: String = patch.chars().take(MAX_PATCH).collect();
            let rest = if shown.len() < patch.len() { "\n(cut; `factotum job diff` has all of it)" } else { "" };
            if patch.is_empty() { format!("job {job} has changed nothing") } else { format!("{shown}{rest}") }
        }
    };
    Ok(CommandReply::Said { text })
}

async fn start(core: &Arc<Core>, said: Asked, spec: JobSpec) -> Result<CommandReply, Failure> {
    let (job, duplicate, since) = jobs::start(core, spec, said).await?;
    let text = format!(
        "job {0} begins as soon as there is a place: {1} in {2}. /job {0} shows it, /job steer {0} TEXT says something to it, \
         /job stop {0} ends it.",
        job.id, job.memory.coder, job.spec.workspace
    );
    Ok(CommandReply::Job { job: job.id, session: job.session, since, duplicate, text })
}

/// The recipes, a line each, with how one is used.
fn recipes(core: &Core) -> String {
    let mut lines = jobs::recipe_lines(core);
    lines.push("/job recipes NAME tells more; /job recipe NAME key=value ... starts a job".to_owned());
    lines.join("\n")
}
