//! What the `job` tool asks of us. The gate has judged the call already.

use std::sync::{Arc, OnceLock, Weak};

use store::Turn;
use tools::{JobAsk, JobCaller};
use types::{Failure, JobId, Then};

use super::{
    command::{self, Asked},
    recipes,
};
use crate::{
    core::Core,
    failure::{internal, stored, user},
};

/// The daemon, once it has started: tools are made before it.
pub(crate) type Late = Arc<OnceLock<Weak<Core>>>;

/// Carries out what the tool asks.
pub(crate) fn tool(core: Late) -> tools::Jobs {
    Arc::new(move |ask, caller| {
        let core = core.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let Some(core) = core else { return Err("the daemon is starting; try again".to_owned()) };
            carry_out(&core, ask, caller).await.map_err(in_words)
        })
    })
}

/// What a recipe would do for the model. Nothing leaves the machine in its name, so its work is committed and no more.
pub(crate) fn plan_of(core: Late) -> tools::Plans {
    Arc::new(move |call| {
        let core = core.get().and_then(Weak::upgrade).ok_or_else(|| "the daemon is starting; try again".to_owned())?;
        let mut spec = command::from_recipe(&core, call).map_err(in_words)?;
        spec.then = spec.then.min(Then::Commit);
        let plan = recipes::plan(&spec);
        Ok((spec, plan))
    })
}

fn in_words(failure: Failure) -> String {
    match failure.hint {
        Some(hint) => format!("{}; {hint}", failure.error),
        None => failure.error,
    }
}

async fn carry_out(core: &Arc<Core>, ask: JobAsk, caller: JobCaller) -> Result<String, Failure> {
    let turn = core.store.turn(caller.turn).map_err(stored)?.ok_or_else(|| internal("the task is missing"))?;
    match ask {
        JobAsk::Show(None) => command::listed(core),
        JobAsk::Recipes => Ok(command::recipe_lines(core).join("\n")),
        JobAsk::Show(Some(job)) => command::shown(core, job),
        JobAsk::Stop(job) => command::stop_one(core, job).await,
        JobAsk::Steer(job, text) => steer(core, job, &text, asked(turn, &caller)).await,
        JobAsk::Start(spec) => {
            let (job, _, _) = command::start(core, *spec, asked(turn, &caller)).await?;
            Ok(format!(
                "job {} begins as soon as there is a place: {} in {}. It reports to the owner by itself; do not wait for it.",
                job.id, job.memory.coder, job.spec.workspace
            ))
        }
    }
}

/// Says something to a coding agent in the name of the model that calls, which is not the owner. Our own loop would take it for
/// the owner's word.
async fn steer(core: &Arc<Core>, job: JobId, text: &str, said: Asked) -> Result<String, Failure> {
    if command::find(core, job)?.memory.coder == super::OUR_OWN {
        let hint = format!("the owner can, with `/job steer {job}`");
        return Err(user(
            format!("job {job} is done by factotum itself, which takes words from the owner alone"),
            hint,
        ));
    }
    command::steer(core, job, format!("(This is said by the owner's agent, not by the owner.) {text}"), said).await
}

/// A call as whoever asks for a job: it reports where the task would answer.
fn asked(turn: Turn, caller: &JobCaller) -> Asked {
    Asked {
        origin: turn.origin,
        channel: turn.reply_channel,
        reply_to: turn.reply_to,
        // The same call again, after a crash, is the same job.
        message: format!("call:{}:{}", caller.turn, caller.call),
        label: caller.label,
    }
}
