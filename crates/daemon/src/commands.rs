//! Carrying out what clients and chats ask for. Both come through here, so that no client can do more than another.

pub(crate) mod allow;
pub(crate) mod answer;
mod jobs;
pub(crate) mod model;
pub(crate) mod proposals;
pub(crate) mod reload;
pub(crate) mod send;
mod spoken;
pub(crate) mod undo;
pub(crate) mod why;

use std::sync::Arc;

use types::{ChannelId, Command, CommandReply, Failure, JobSpec, Label, Origin};

use crate::{
    core::Core,
    failure::user,
    jobs as work, programs, second_factor,
    sessions::{self, Stopped},
    shells,
};

/// Carries out a command that came over the API: its caller has proved to be the owner.
pub(crate) async fn execute(core: &Arc<Core>, command: Command) -> Result<CommandReply, Failure> {
    match command {
        Command::Send { text, session, workspace, when_busy, id } => {
            let remote_id = own_id(id)?;
            let selection = match session {
                None => send::Selection::Current,
                Some(name) if name == "new" => send::Selection::New,
                Some(name) => send::Selection::Named(name),
            };
            let incoming = send::Incoming {
                channel: ChannelId::api(),
                remote_id,
                reply_to: None,
                text,
                selection,
                workspace,
                when_busy,
                origin: Origin::Owner,
            };
            send::accept(core, incoming).await
        }
        Command::Stop { session } => {
            let session = session.map(|name| core.find_session(&name)).transpose()?.map(|session| session.id);
            let stopped = sessions::stop(core, session).await;
            Ok(CommandReply::Done { text: stopped_text(stopped) })
        }
        Command::Answer { request, answer, code, confirm } => {
            let given = answer::Given { answer, code, confirm, channel: ChannelId::api(), said_in: None };
            answer::answer(core, request, given).await
        }
        Command::RevokeAllowance { allowance } => {
            allow::revoke(core, allowance).await.map(|text| CommandReply::Done { text })
        }
        Command::SetUpTotp { secret, code, present } => {
            second_factor::set_up(core, &secret, &code, present.as_ref()).await
        }
        Command::RemoveTotp { code } => second_factor::remove(core, &code).await,
        Command::RotateToken => crate::api::rotate(core).await.map(|text| CommandReply::Done { text }),
        Command::Endorse { session, call } => {
            let session = match session {
                Some(name) => core.find_session(&name)?.id,
                None => core.current_session()?,
            };
            why::endorse(core, session, &call, None).await.map(|text| CommandReply::Done { text })
        }
        Command::Decide { proposal, accept, code } => proposals::decide(core, proposal, accept, code.as_ref()).await,
        Command::StartJob { spec, id } => start_job(core, *spec, id).await,
        Command::StartRecipe { call, id } => start_job(core, work::from_recipe(core, &call)?, id).await,
        Command::SteerJob { job, text } => {
            work::steer(core, job, text, by_client(None)?).await.map(|text| CommandReply::Done { text })
        }
        Command::StopJob { job } => work::stop_one(core, job).await.map(|text| CommandReply::Done { text }),
        Command::TakeOverJob { job } => work::take_over(core, job).await.map(|text| CommandReply::Done { text }),
        Command::HandBackJob { job } => work::hand_back(core, job).await.map(|text| CommandReply::Done { text }),
        Command::ResumeJob { job, coder, text } => {
            let (job, since) = work::resume(core, job, coder, text).await?;
            let text = format!("job {} waits for a place to go on", job.id);
            Ok(CommandReply::Job { job: job.id, session: job.session, since, duplicate: false, text })
        }
        Command::OpenShell { workspace, name } => shells::open(core, workspace, name).await,
        Command::CloseShell { name } => shells::close(core, &name).await.map(|text| CommandReply::Done { text }),
        Command::Undo { workspace, snapshot } => {
            undo::undo(core, workspace, snapshot, None).await.map(|text| CommandReply::Done { text })
        }
        Command::InstallCoder { coder, version } => {
            let installed = programs::install(core, &coder, version.as_deref()).await;
            installed.map(|text| CommandReply::Done { text })
        }
        Command::TestCoder { coder } => programs::test(core, &coder).await.map(|text| CommandReply::Done { text }),
        command @ (Command::UseModel { .. } | Command::TestModel { .. }) => {
            model::carry_out(core, command).await.map(|text| CommandReply::Done { text })
        }
        Command::Reload { code } => reload::reload(core, code.as_ref()).await,
    }
}

/// Queues a job for a client.
async fn start_job(core: &Arc<Core>, spec: JobSpec, id: Option<String>) -> Result<CommandReply, Failure> {
    let (job, duplicate, since) = work::start(core, spec, by_client(id)?).await?;
    let text = format!("job {} waits for a place", job.id);
    Ok(CommandReply::Job { job: job.id, session: job.session, since, duplicate, text })
}

fn stopped_text(stopped: Stopped) -> String {
    match stopped.turns {
        0 => "nothing was running".to_owned(),
        1 => "stopped one task".to_owned(),
        more => format!("stopped {more} tasks"),
    }
}

/// The owner, who asks over the API.
fn by_client(id: Option<String>) -> Result<work::Asked, Failure> {
    let (origin, channel) = (Origin::Owner, ChannelId::api());
    Ok(work::Asked { origin, channel, reply_to: None, message: own_id(id)?, label: Label::CLEAN })
}

/// The id that a client chose for a message, or a new one.
fn own_id(id: Option<String>) -> Result<String, Failure> {
    match id {
        Some(id) if id.is_empty() || id.len() > 128 => {
            Err(user("the message's id must have 1 to 128 bytes", "leave it out, or use a shorter one"))
        }
        Some(id) => Ok(id),
        None => random_id(),
    }
}

/// An id for a message that its sender gave none.
fn random_id() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(crate::failure::internal)?;
    Ok(hex::encode(bytes))
}
