//! Carrying out slash commands.

use std::sync::Arc;

use store::NewSession;
use types::{Answer, Ask, CommandReply, Failure, Origin, RequestId, Scope, SessionId, WorkspaceName};

use super::{
    allow,
    answer::{self, Given},
    jobs, model, proposals,
    send::{self, Incoming},
    stopped_text, undo, why,
};
use crate::{
    core::{CURRENT_SESSION, Core},
    failure::{stored, user},
    requests, sessions,
    slash::{HELP, Slash, Yes},
    status,
};

/// How many sessions `/sessions` lists.
const LISTED: usize = 20;

/// Does what the owner typed and says what came of it. Somebody who is merely allowed to talk may only ask for help.
pub(super) async fn carry_out(core: &Arc<Core>, incoming: &Incoming, slash: Slash) -> Result<CommandReply, Failure> {
    if incoming.origin != Origin::Owner && slash != Slash::Help {
        return Err(user("only the owner may give commands", "write a message without a slash"));
    }
    let text = match slash {
        Slash::Help => HELP.to_owned(),
        Slash::New { title } => new_session(core, incoming, title).await?,
        Slash::Sessions => list_sessions(core)?,
        Slash::Resume(session) => resume(core, session).await?,
        Slash::Stop => stopped_text(sessions::stop(core, None).await),
        Slash::Status => status::in_words(core)?,
        Slash::Undo => {
            let said_in = incoming.on_messenger().map(|number| (incoming.channel.clone(), number));
            undo::undo(core, None, None, said_in).await?
        }
        Slash::Approve(request, yes) => approved(core, incoming, request, yes).await?,
        Slash::Deny(request) => {
            let given = Given::plain(Answer::Denied, incoming.channel.clone(), incoming.on_messenger());
            requests::in_words(request, Scope::Once, answer::answer(core, request, given).await?)
        }
        Slash::Allowed => allow::listed(core)?,
        Slash::Disallow(allowance) => allow::revoke(core, allowance).await?,
        Slash::Why => why::in_words(core, core.current_session()?)?,
        Slash::Endorse(call) => {
            let said_in = incoming.on_messenger().map(|number| (incoming.channel.clone(), number));
            why::endorse(core, core.current_session()?, &call, said_in).await?
        }
        Slash::Proposals => proposals::list(core)?,
        Slash::Decide(proposal, accept, code) => {
            proposals::in_words(proposal, proposals::decide(core, proposal, accept, code.as_ref()).await?)
        }
        Slash::Workspace(name) => change_workspace(core, name).await?,
        Slash::Model(None) => model::in_words(core)?,
        Slash::Model(Some(name)) => {
            let name = (name != "default").then_some(name);
            model::choose(core, core.current_session()?, name).await?
        }
        Slash::Cost => format!("{}{}", status::cost_in_words(core)?, model::costs_in_words(core)?),
        Slash::Jobs => crate::jobs::listed(core)?,
        Slash::Job(word) => return jobs::carry_out(core, incoming, word).await,
        Slash::Queue(_) | Slash::Interrupt(_) => {
            return Err(crate::failure::internal("a message was taken for a command"));
        }
    };
    Ok(CommandReply::Said { text })
}

/// A typed yes. Where a messenger has no buttons, the word that was shown with the question must come with it: it shows
/// which question is meant, and that it was seen.
async fn approved(core: &Arc<Core>, incoming: &Incoming, id: RequestId, yes: Yes) -> Result<String, Failure> {
    let request = answer::open(core, id)?;
    let has_buttons = core.messengers.get(&incoming.channel).is_none_or(|on| on.channel.limits().buttons);
    if let (false, Ask::Approval(_)) = (has_buttons, &request.ask) {
        let word = core.store.request_nonce(id).map_err(stored)?.map(|nonce| requests::word(&nonce));
        if word.is_none() || yes.word != word {
            let hint = "write the line that stands under the question, with its word";
            return Err(user(format!("request {id} needs the word that was shown with it"), hint));
        }
    }
    let given = Given {
        answer: Answer::Approved { scope: yes.scope },
        code: yes.code,
        confirm: yes.confirm,
        channel: incoming.channel.clone(),
        said_in: incoming.on_messenger(),
    };
    Ok(requests::in_words(id, yes.scope, answer::answer(core, id, given).await?))
}

/// The message is remembered in the write that makes the session: one that comes again must not make another.
async fn new_session(core: &Arc<Core>, incoming: &Incoming, title: Option<String>) -> Result<String, Failure> {
    let workspace = incoming.workspace.clone();
    if let Some(name) = &workspace {
        core.workspace(name)?;
    }
    // A fresh start keeps the workspace: the owner goes on with the same thing more often than not.
    let present = core.store.session(core.current_session()?).map_err(stored)?.map(|session| session.workspace);
    let configured = present.filter(|name| core.workspaces.get(name).is_some());
    let workspace = workspace.or(configured).unwrap_or_else(|| core.live().default_workspace.clone());
    let title = send::title(&title.unwrap_or_else(|| "untitled".to_owned()));
    let shown = format!("in workspace {workspace}");
    let said_in = incoming.on_messenger().map(|number| (incoming.channel.clone(), number));
    let id = core
        .store
        .transact(move |tx| {
            let id = tx.create_session(NewSession { key: None, title, workspace })?;
            tx.set_cursor(CURRENT_SESSION, id.to_string())?;
            if let Some((channel, number)) = said_in {
                tx.note_silenced(&channel, number)?;
            }
            Ok(id)
        })
        .await
        .map_err(stored)?;
    Ok(format!("session {id} begins, {shown}"))
}

fn list_sessions(core: &Core) -> Result<String, Failure> {
    let current = core.current_session()?;
    let sessions = core.store.sessions(LISTED).map_err(stored)?;
    let lines: Vec<String> = sessions
        .iter()
        .map(|session| {
            let mark = if session.id == current { "*" } else { " " };
            let running = if core.sessions.running_turn(session.id).is_some() { ", working" } else { "" };
            let name = session.key.as_ref().map(|key| format!(" ({key})")).unwrap_or_default();
            format!("{mark} {}{name} {} [{}{running}]", session.id, session.title, session.workspace)
        })
        .collect();
    Ok(format!("{}\n/resume N goes to one", lines.join("\n")))
}

async fn resume(core: &Arc<Core>, id: SessionId) -> Result<String, Failure> {
    let session = core.find_session(&id.to_string())?;
    core.store.transact(move |tx| tx.set_cursor(CURRENT_SESSION, id.to_string())).await.map_err(stored)?;
    Ok(format!("session {id} goes on: {} [{}]", session.title, session.workspace))
}

async fn change_workspace(core: &Arc<Core>, name: WorkspaceName) -> Result<String, Failure> {
    let workspace = core.workspace(&name)?;
    send::move_session(core, core.current_session()?, Some(&name)).await?;
    Ok(format!("this session works in {name} ({})", workspace.dir().display()))
}
