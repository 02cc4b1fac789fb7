//! Why a session is judged as it is, and the way to a clean one: endorsing a single result, which opens a fresh session
//! with that result and the owner's own words alone.

use std::sync::Arc;

use policy::destination;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::{
    Author, MessageKind, NewMessage, NewSession, Session, StoredMessage, Tx,
    audit::{AuditEntry, AuditKind},
};
use types::{Block, Confidentiality, Failure, Integrity, Label, Message, Role, SessionId};

use crate::{
    api::views::{CauseView, WhyView},
    core::{CURRENT_SESSION, Core, shown},
    failure::{internal, stored, user},
};

/// The most causes that a chat lists.
const LISTED: usize = 12;
/// The most messages of a session that are looked through for a result, and of the owner's that go along.
const LOOKED_THROUGH: usize = 2_000;
const MAX_OWN: usize = 50;

/// A session's label and where it comes from.
pub(crate) fn view(core: &Core, session: &Session) -> Result<WhyView, Failure> {
    let causes = core.store.label_causes(session.id).map_err(stored)?;
    Ok(WhyView {
        session: session.id,
        label: session.label,
        workspace: session.workspace.clone(),
        workspace_label: core.store.workspace_label(&session.workspace).map_err(stored)?,
        reader_bits: core.store.bits_read(session.id).map_err(stored)?,
        causes: causes
            .into_iter()
            .map(|cause| CauseView {
                turn: cause.turn,
                call: cause.call,
                label: cause.label,
                rose: cause.rose,
                cause: cause.cause,
                at: cause.at,
            })
            .collect(),
    })
}

/// `/why`.
pub(crate) fn in_words(core: &Core, session: SessionId) -> Result<String, Failure> {
    let session = core.find_session(&session.to_string())?;
    Ok(WhyView::in_words(&view(core, &session)?))
}

impl WhyView {
    /// The view in words for the owner, newest cause last. Everything in it that is not ours is one line and escaped by
    /// whoever shows it.
    pub fn in_words(&self) -> String {
        let mut lines = vec![format!("Session {} holds {}.", self.session, holds(self.label))];
        let skipped = self.causes.len().saturating_sub(LISTED);
        // What raised the label comes first in time, so the middle is what can be missed.
        let is_kept = |at: usize, cause: &CauseView| cause.rose || at >= skipped;
        for (_, cause) in self.causes.iter().enumerate().filter(|(at, cause)| is_kept(*at, cause)) {
            lines.push(cause.in_words());
        }
        if self.causes.is_empty() && self.label != Label::CLEAN {
            lines.push("- what raised it was not recorded: it entered before this version".to_owned());
        }
        if self.workspace_label.integrity == Integrity::Untrusted {
            lines.push(format!("Files of workspace {} hold foreign text: reading one brings it in.", self.workspace));
        }
        if self.reader_bits > 0 {
            lines.push(format!("Its readers have told it {} bits of foreign text.", self.reader_bits));
        }
        if self.label.integrity == Integrity::Untrusted {
            lines.push(
                "Sending, fetching and remembering is asked about here. /new begins a clean session; /endorse CALL begins \
                 one with that result, which you vouch for, and your own words."
                    .to_owned(),
            );
        }
        lines.join("\n")
    }
}

impl CauseView {
    fn in_words(&self) -> String {
        let what = match (self.label.integrity, self.label.confidentiality) {
            (Integrity::Trusted, Confidentiality::Public) => "nothing",
            (Integrity::Trusted, Confidentiality::Private) => "private",
            (Integrity::Untrusted, Confidentiality::Public) => "foreign",
            (Integrity::Untrusted, Confidentiality::Private) => "foreign and private",
        };
        let place = match (self.turn, &self.call) {
            (Some(turn), Some(call)) => format!(" (task {turn}, call {})", shown(call)),
            (Some(turn), None) => format!(" (task {turn})"),
            (None, _) => String::new(),
        };
        let cause: String = self.cause.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let rose = if self.rose { ", raised the label" } else { "" };
        format!("- {what}: {cause}{place}{rose}")
    }
}

fn holds(label: Label) -> &'static str {
    match (label.integrity, label.confidentiality) {
        (Integrity::Trusted, Confidentiality::Public) => "nothing yet",
        (Integrity::Trusted, Confidentiality::Private) => "your own words and data alone",
        (Integrity::Untrusted, Confidentiality::Public) => "foreign text",
        (Integrity::Untrusted, Confidentiality::Private) => "foreign text and private data",
    }
}

/// What the owner vouches for.
struct Endorsed {
    tool: String,
    text: String,
    own: Vec<Message>,
}

/// Opens a clean session with one result of a call, which the owner vouches for, and their own words. It becomes the
/// present one. Its messages are as trusted as if the owner had typed them.
pub(crate) async fn endorse(
    core: &Arc<Core>,
    session: SessionId,
    call: &str,
    said_in: Option<(types::ChannelId, String)>,
) -> Result<String, Failure> {
    let from = core.find_session(&session.to_string())?;
    let rows = core.store.messages(session, None, LOOKED_THROUGH).map_err(stored)?;
    let endorsed = find(&rows, call).ok_or_else(|| {
        let hint = "/why lists the calls whose results raised the label";
        user(format!("this session has no result of a call `{}`", shown(call)), hint)
    })?;
    let detail = json!({
        "endorsed": { "session": session, "call": call, "tool": endorsed.tool },
        "sha256": hex::encode(Sha256::digest(&endorsed.text)),
    });
    let entry =
        AuditEntry { session: Some(session), turn: None, call: Some(call.to_owned()), kind: AuditKind::Policy, detail };
    core.store.audit().append(entry).await.map_err(internal)?;
    let title = format!("endorsed: {}", from.title);
    let new = NewSession { key: None, title, workspace: from.workspace };
    let id = core.store.transact(move |tx| open(tx, new, endorsed, said_in)).await.map_err(stored)?;
    Ok(format!("session {id} begins with that result and your own words; nothing else of session {session} is in it"))
}

fn find(rows: &[StoredMessage], wanted: &str) -> Option<Endorsed> {
    let blocks = || rows.iter().rev().flat_map(|row| &row.blocks);
    let text = blocks().find_map(|block| match block {
        Block::ToolResult { call, content, .. } if call == wanted => Some(content.clone()),
        _ => None,
    })?;
    let tool = blocks().find_map(|block| match block {
        Block::ToolUse { id, name, .. } if id == wanted => Some(name.clone()),
        _ => None,
    });
    let own = rows.iter().filter(|row| row.author == Author::Owner && row.kind == MessageKind::Normal);
    let own = own.filter_map(|row| {
        let text = Message { role: row.role, blocks: row.blocks.clone() }.text();
        let words = destination::own_words(&text).trim().to_owned();
        (!words.is_empty()).then(|| Message::user(words))
    });
    let mut own: Vec<Message> = own.collect();
    let earlier = own.len().saturating_sub(MAX_OWN);
    own.drain(..earlier);
    Some(Endorsed { tool: tool.unwrap_or_else(|| "a tool".to_owned()), text, own })
}

fn open(
    tx: &mut Tx<'_>,
    new: NewSession,
    endorsed: Endorsed,
    said_in: Option<(types::ChannelId, String)>,
) -> Result<SessionId, store::StoreError> {
    let session = tx.create_session(new)?;
    let message = |author, blocks| NewMessage {
        session,
        turn: None,
        role: Role::User,
        blocks,
        author,
        label: Label::OWNER,
        kind: MessageKind::Normal,
    };
    for own in endorsed.own {
        tx.append_message(message(Author::Owner, own.blocks))?;
    }
    let text = format!(
        "[The owner has read this result of `{}` and vouches for it:]\n{}\n[End of the result.]",
        endorsed.tool, endorsed.text
    );
    // Not as the owner's own: the addresses in it are not theirs.
    tx.append_message(message(Author::System, vec![Block::text(text)]))?;
    tx.set_cursor(CURRENT_SESSION, session.to_string())?;
    if let Some((channel, number)) = said_in {
        tx.note_silenced(&channel, number)?;
    }
    Ok(session)
}
