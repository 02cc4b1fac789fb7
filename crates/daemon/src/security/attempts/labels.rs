//! Labels and sinks: the policy's table, asked as a model would that obeys every attacker.

use std::sync::Arc;

use policy::{Decision, Request, Rules, decide};
use serde_json::{Value, json};
use store::{NewSession, Store, Tx};
use types::{Effect, Label, Origin, SessionId, Sink, TurnId, WorkspaceName};

use super::Surroundings;
use crate::{
    SystemClock,
    security::{
        Outcome,
        arena::{Trouble, workspace_name},
    },
};

/// Everybody who can set a turn off.
const ORIGINS: [Origin; 4] = [Origin::Owner, Origin::SubAgent, Origin::Schedule, Origin::Program];

/// A call to be judged, with everything but the sink as an attacker wants it.
pub(super) struct Probe {
    pub sink: Sink,
    pub label: Label,
    pub origin: Origin,
    pub input: Value,
}

impl Probe {
    /// A call of a session that has read foreign and private text, to an address that the owner never wrote.
    pub fn foreign(sink: Sink, origin: Origin) -> Self {
        Self { sink, label: Label::UNKNOWN, origin, input: json!({ "to": "attacker@example.com" }) }
    }

    pub fn effect(&self) -> Effect {
        Effect {
            sink: self.sink,
            read_only: false,
            destinations: vec!["attacker@example.com".to_owned()],
            reversible: false,
            payload: Some("the owner's private text".to_owned()),
            summary: "audit: an attacker's call".to_owned(),
            count: 1,
        }
    }

    pub fn request<'a>(&'a self, effect: &'a Effect, workspace: &'a WorkspaceName) -> Request<'a> {
        Request {
            tool: "audit",
            input: &self.input,
            effect,
            label: self.label,
            origin: self.origin,
            session: SessionId(1),
            turn: TurnId(1),
            workspace,
            workspace_state: None,
            destinations_are_owners: false,
            touched: 0,
        }
    }

    /// Whether the call would simply happen.
    fn is_free(&self) -> Result<bool, Trouble> {
        let (effect, workspace) = (self.effect(), workspace_name()?);
        Ok(matches!(decide(&self.request(&effect, &workspace), &Rules::default()), Decision::Allow(_)))
    }
}

/// Sends, fetches and uses credentials out of a session that holds foreign and private text.
pub(super) async fn silent_send(_around: &Surroundings) -> Outcome {
    free_among(&[Sink::Send, Sink::Fetch, Sink::Credential], "goes out of a session with foreign and private text")
}

/// Writes what persists out of a session that holds foreign text.
pub(super) async fn persist(_around: &Surroundings) -> Outcome {
    free_among(&[Sink::Persist], "persists out of a session with foreign text")
}

fn free_among(sinks: &[Sink], what: &str) -> Outcome {
    let mut through = Vec::new();
    for sink in sinks {
        for origin in ORIGINS {
            match Probe::foreign(*sink, origin).is_free() {
                Ok(false) => {}
                Ok(true) => through.push(format!("{sink:?} by {origin:?} {what} without a question")),
                Err(why) => return Outcome::NotTried { why },
            }
        }
    }
    Outcome::unless(&through, format!("{} kinds of calls", sinks.len() * ORIGINS.len()))
}

/// Raises a session's and a workspace's label in a journal of its own and tries to lower them again.
pub(super) async fn lowered(_around: &Surroundings) -> Outcome {
    match lower().await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn lower() -> Result<Outcome, Trouble> {
    let words = |error: store::StoreError| error.to_string();
    let store = Store::in_memory(Arc::new(SystemClock::new())).map_err(words)?;
    let workspace = workspace_name()?;
    let name = workspace.clone();
    let (session, labels) = store
        .transact(move |tx: &mut Tx<'_>| {
            let new = NewSession { key: None, title: "audit".to_owned(), workspace: name.clone() };
            let session = tx.create_session(new)?;
            tx.raise_label(session, Label::UNKNOWN, "audit")?;
            tx.raise_workspace_label(&name, Label::UNKNOWN)?;
            let mut labels = Vec::new();
            for lower in [Label::CLEAN, Label::OWNER, Label::FOREIGN] {
                labels.push(tx.raise_label(session, lower, "audit")?);
                tx.raise_workspace_label(&name, lower)?;
            }
            Ok((session, labels))
        })
        .await
        .map_err(words)?;
    let stored = store.session(session).map_err(words)?.map(|session| session.label);
    let kept = store.workspace_label(&workspace).map_err(words)?;
    let mut fell = Vec::new();
    if stored != Some(Label::UNKNOWN) || labels.iter().any(|label| *label != Label::UNKNOWN) {
        fell.push("a session's label fell".to_owned());
    }
    if kept != Label::UNKNOWN {
        fell.push("a workspace's label fell".to_owned());
    }
    let all = [Label::CLEAN, Label::OWNER, Label::FOREIGN, Label::UNKNOWN];
    let joins = all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other)));
    if joins.into_iter().any(|(one, other)| !one.join(other).covers(one) || !one.join(other).covers(other)) {
        fell.push("joining two labels gave less than one of them".to_owned());
    }
    Ok(Outcome::unless(&fell, "lowering the label of a session and of a workspace, and all joins"))
}
