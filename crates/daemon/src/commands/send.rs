//! Taking a message: to which session it goes, and that it is durable before anybody is told so.

use std::sync::Arc;

use store::{NewInbox, NewSession, StoreError, Tx};
use types::{
    Answer, Ask, ChannelId, CommandReply, Failure, Label, Origin, OwnerRequest, SessionId, WhenBusy, WorkspaceName,
};

use super::{
    answer::{self, Given},
    spoken,
};
use crate::{
    core::{Core, shown},
    failure::{stored, user},
    requests::{self, Stage},
    sessions, slash,
};

/// The most bytes of a message. Larger things belong into a file of the workspace.
pub(crate) const MAX_TEXT: usize = 64 << 10;
/// The most characters of a session's title.
const MAX_TITLE: usize = 60;

/// Which session a message is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The one the owner is in.
    Current,
    /// The one of this number or key; a key that nobody used makes a session.
    Named(String),
    /// A fresh one.
    New,
    /// The own session of somebody who is allowed but not the owner. Its text is nobody's order.
    Guest(String),
}

/// A message that passed admission.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub channel: ChannelId,
    /// The same one is accepted once only.
    pub remote_id: String,
    /// Where the answer goes on that channel; none at the API.
    pub reply_to: Option<String>,
    pub text: String,
    pub selection: Selection,
    /// The workspace of a session that this makes.
    pub workspace: Option<WorkspaceName>,
    pub when_busy: WhenBusy,
    pub origin: Origin,
}

impl Incoming {
    /// The messenger's number of the message; none at the API, where nothing comes again by itself.
    pub fn on_messenger(&self) -> Option<String> {
        (self.channel != ChannelId::api()).then(|| self.remote_id.clone())
    }
}

/// Takes a message or a slash command.
pub(crate) async fn accept(core: &Arc<Core>, mut incoming: Incoming) -> Result<CommandReply, Failure> {
    fits(&incoming.text)?;
    if incoming.text.trim().is_empty() {
        return Err(user("the message is empty", "write something"));
    }
    // Masked before anything of it is kept: the journal, the session's title and every client would show it.
    incoming.text = core.leaks.take_in(incoming.text, format!("a message on {}", incoming.channel)).await;
    match slash::parse(&incoming.text) {
        None => {}
        Some(Err(failure)) => return Err(failure),
        Some(Ok(slash::Slash::Queue(text))) => {
            incoming.text = text;
            incoming.when_busy = WhenBusy::Queue;
        }
        Some(Ok(slash::Slash::Interrupt(text))) => {
            incoming.text = text;
            incoming.when_busy = WhenBusy::Interrupt;
        }
        Some(Ok(command)) => return spoken::carry_out(core, &incoming, command).await,
    }
    if incoming.origin == Origin::Owner
        && let Some(reply) = coded(core, &incoming).await?
    {
        return Ok(reply);
    }
    let goes_to = session_of(core, &incoming).await?;
    if incoming.when_busy == WhenBusy::Steer
        && incoming.origin == Origin::Owner
        && let GoesTo::Existing(session) = goes_to
        && let Some(question) = open_question(core, session)?
    {
        let said_in = incoming.on_messenger();
        let words = Answer::Text { text: incoming.text };
        return answer::answer(core, question.id, Given::plain(words, incoming.channel, said_in)).await;
    }
    receive(core, goes_to, incoming).await
}

/// A code of the second factor for a request that asked for one in this chat. It goes no further: not into the inbox, and
/// not to the model.
async fn coded(core: &Arc<Core>, incoming: &Incoming) -> Result<Option<CommandReply>, Failure> {
    let Some((id, code)) = slash::typed_code(&incoming.text) else { return Ok(None) };
    let Some(Stage::Code(scope)) = requests::stage(core, id, &incoming.channel)? else { return Ok(None) };
    let request = answer::open(core, id)?;
    let confirm = match &request.ask {
        Ask::Approval(question) => question.offer.as_ref().map(|offer| offer.digest.clone()),
        Ask::Question { .. } => None,
    };
    let given = Given {
        answer: Answer::Approved { scope },
        code: Some(code),
        confirm,
        channel: incoming.channel.clone(),
        said_in: incoming.on_messenger(),
    };
    answer::answer(core, id, given).await.map(Some)
}

/// Refuses a message that is too long.
pub(crate) fn fits(text: &str) -> Result<(), Failure> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    let hint = "send a shorter one, or put the text into a file of the workspace and name the file";
    Err(user(format!("the message has {} KiB; the most is {} KiB", text.len() >> 10, MAX_TEXT >> 10), hint))
}

/// Makes the message durable, and its session with it where it begins one, and wakes that session.
async fn receive(core: &Arc<Core>, goes_to: GoesTo, incoming: Incoming) -> Result<CommandReply, Failure> {
    let since = core.store.last_seq().map_err(stored)?;
    let when_busy = incoming.when_busy;
    let store = move |tx: &mut Tx<'_>| {
        let session = match goes_to {
            GoesTo::Existing(session) => session,
            GoesTo::Fresh { session, is_guests } => create(tx, session, is_guests)?,
        };
        let row = NewInbox {
            channel: incoming.channel,
            remote_id: incoming.remote_id,
            session,
            text: incoming.text,
            reply_to: incoming.reply_to,
            when_busy,
            origin: incoming.origin,
        };
        Ok((session, tx.receive(row)?))
    };
    let (session, received) = core.store.transact(store).await.map_err(stored)?;
    if !received.duplicate {
        sessions::wake(core, session, when_busy).await;
    }
    Ok(CommandReply::Accepted { inbox: received.id, session, since, duplicate: received.duplicate })
}

/// The question in words that waits in this session.
fn open_question(core: &Core, session: SessionId) -> Result<Option<OwnerRequest>, Failure> {
    let open = core.store.open_requests().map_err(stored)?;
    Ok(open.into_iter().find(|request| request.session == session && matches!(request.ask, Ask::Question { .. })))
}

/// The session that a message goes to.
enum GoesTo {
    Existing(SessionId),
    /// It is made together with the message, so that a crash leaves no empty one.
    Fresh {
        session: NewSession,
        is_guests: bool,
    },
}

/// Finds the session, or says which is to be made. The workspace only counts for a session that is made or stands still.
async fn session_of(core: &Arc<Core>, incoming: &Incoming) -> Result<GoesTo, Failure> {
    if let Some(name) = &incoming.workspace {
        core.workspace(name)?;
    }
    let wanted = incoming.workspace.as_ref();
    let (key, is_guests) = match &incoming.selection {
        Selection::Current => {
            let session = core.current_session()?;
            return move_session(core, session, wanted).await.map(GoesTo::Existing);
        }
        Selection::New => (None, false),
        Selection::Named(name) => match core.find_session(name) {
            Ok(session) => return move_session(core, session.id, wanted).await.map(GoesTo::Existing),
            Err(failure) if name.parse::<i64>().is_ok() => return Err(failure),
            Err(_) => (Some(checked_key(name)?), false),
        },
        Selection::Guest(key) => match core.store.session_by_key(key).map_err(stored)? {
            Some(session) => return Ok(GoesTo::Existing(session.id)),
            None => (Some(key.clone()), true),
        },
    };
    let workspace = incoming.workspace.clone().unwrap_or_else(|| core.live().default_workspace.clone());
    let session = NewSession { key, title: title(&incoming.text), workspace };
    Ok(GoesTo::Fresh { session, is_guests })
}

fn create(tx: &mut Tx<'_>, session: NewSession, is_guests: bool) -> Result<SessionId, StoreError> {
    let session = tx.create_session(session)?;
    if is_guests {
        tx.raise_label(session, Label::UNKNOWN, "somebody who is not the owner writes here")?;
    }
    Ok(session)
}

/// Moves a session that stands still to another workspace, if one is named or its own is gone.
pub(super) async fn move_session(
    core: &Arc<Core>,
    session: SessionId,
    workspace: Option<&WorkspaceName>,
) -> Result<SessionId, Failure> {
    let present = core.store.session(session).map_err(stored)?.map(|session| session.workspace);
    let workspace = match (workspace, &present) {
        (Some(workspace), Some(present)) if workspace == present => return Ok(session),
        (Some(workspace), _) => workspace.clone(),
        // A workspace that is no longer configured, such as the one of the practice model, gives way to the usual one.
        (None, Some(present)) if core.workspaces.get(present).is_none() => core.live().default_workspace.clone(),
        (None, _) => return Ok(session),
    };
    if core.sessions.running_turn(session).is_some() {
        let hint = "wait for it, stop it, or use another session";
        return Err(user("a task of this session runs in another workspace", hint));
    }
    core.pool.stop_session(session).await;
    core.store.transact(move |tx| tx.set_session_workspace(session, workspace)).await.map_err(stored)?;
    Ok(session)
}

/// Keys are the owner's own names; they are bounded so that lists stay readable.
fn checked_key(name: &str) -> Result<String, Failure> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits {
        return Ok(name.to_owned());
    }
    let hint = "use 1 to 64 letters, digits, `-`, `_` and `.`";
    Err(user(format!("`{}` is no name for a session", shown(name)), hint))
}

/// A session's title: the beginning of its first message.
pub(super) fn title(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut title: String = line.chars().filter(|character| !character.is_control()).take(MAX_TITLE).collect();
    if line.chars().count() > MAX_TITLE {
        title.push('…');
    }
    title
}
