//! Carrying out what clients and chats ask for. Both come through here, so that no client can do more than another.

pub(crate) mod allow;
pub(crate) mod answer;
pub(crate) mod proposals;
pub(crate) mod reload;
pub(crate) mod send;
mod spoken;
pub(crate) mod undo;
pub(crate) mod why;

use std::sync::Arc;

use types::{ChannelId, Command, CommandReply, Failure, Origin};

use crate::{
    core::Core,
    failure::user,
    second_factor,
    sessions::{self, Stopped},
};

/// Carries out a command that came over the API: its caller has proved to be the owner.
pub(crate) async fn execute(core: &Arc<Core>, command: Command) -> Result<CommandReply, Failure> {
    match command {
        Command::Send { text, session, workspace, when_busy, id } => {
            let remote_id = match id {
                Some(id) if id.is_empty() || id.len() > 128 => {
                    return Err(user(
                        "the message's id must have 1 to 128 bytes",
                        "leave it out, or use a shorter one",
                    ));
                }
                Some(id) => id,
                None => random_id()?,
            };
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
        Command::Undo { workspace, snapshot } => {
            undo::undo(core, workspace, snapshot, None).await.map(|text| CommandReply::Done { text })
        }
        Command::Reload { code } => reload::reload(core, code.as_ref()).await,
    }
}

fn stopped_text(stopped: Stopped) -> String {
    match stopped.turns {
        0 => "nothing was running".to_owned(),
        1 => "stopped one task".to_owned(),
        more => format!("stopped {more} tasks"),
    }
}

/// An id for a message that its sender gave none.
fn random_id() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(crate::failure::internal)?;
    Ok(hex::encode(bytes))
}
