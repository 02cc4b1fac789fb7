//! What tasks without the owner would let persist: listed for them, and run or forgotten when they say so.

use std::sync::Arc;

use serde_json::json;
use store::audit::{AuditEntry, AuditKind};
use types::{Code, CommandReply, Failure, Proposal, ProposalId, Settlement};

use crate::{
    core::Core,
    failure::{internal, stored, user},
    second_factor,
};

/// The most proposals that a chat lists, and the most characters of what one of them would keep.
const LISTED: usize = 10;
const MAX_SHOWN: usize = 1_500;

/// `/proposals`.
pub(crate) fn list(core: &Core) -> Result<String, Failure> {
    let open = core.store.open_proposals().map_err(stored)?;
    if open.is_empty() {
        return Ok("nothing is proposed".to_owned());
    }
    let mut parts: Vec<String> = open.iter().take(LISTED).map(shown).collect();
    if open.len() > LISTED {
        parts.push(format!("and {} more", open.len() - LISTED));
    }
    Ok(parts.join("\n\n"))
}

/// One proposal as a chat shows it. What would run stands in a block of code, which nothing in it can leave.
fn shown(proposal: &Proposal) -> String {
    let (id, question) = (proposal.id, &proposal.question);
    let summary: String = question.effect.summary.chars().filter(|c| !c.is_control() && *c != '`').take(200).collect();
    let body = question.effect.payload.as_ref().unwrap_or(&question.arguments);
    let body: String = body.replace("```", "` ` `").chars().take(MAX_SHOWN).collect();
    format!("proposal {id}: `{summary}`\n{}\n```\n{body}\n```\n/accept {id} or /reject {id}", question.reason)
}

/// Runs a proposal or forgets it. The caller has made sure that the owner says so.
pub(crate) async fn decide(
    core: &Arc<Core>,
    id: ProposalId,
    accept: bool,
    code: Option<&Code>,
) -> Result<CommandReply, Failure> {
    let known = core.store.proposal(id).map_err(stored)?;
    let known = known.ok_or_else(|| user(format!("there is no proposal {id}"), "/proposals lists them"))?;
    if let Some(settled) = &known.settled {
        return Err(already(id, settled));
    }
    if accept {
        if let Some(needed) = second_factor::require(core, code, "a proposal").await? {
            return Ok(needed);
        }
        let live = core.live();
        let settlement = agent::accept(&live.deps, id, core.phases.stopping.child_token()).await.map_err(stored)?;
        return match settlement {
            Some(settlement) => Ok(CommandReply::Done { text: format!("proposal {id}: {}", outcome(&settlement)) }),
            None => Err(already(id, &Settlement::Accepted)),
        };
    }
    let question = &known.question;
    let entry = AuditEntry {
        session: Some(question.session),
        turn: Some(question.turn),
        call: Some(known.call.clone()),
        kind: AuditKind::Approval,
        detail: json!({ "proposal": id, "decision": "rejected by the owner" }),
    };
    core.store.audit().append(entry).await.map_err(internal)?;
    let first = core.store.transact(move |tx| tx.settle_proposal(id, false)).await.map_err(stored)?;
    if !first {
        return Err(already(id, &Settlement::Rejected));
    }
    Ok(CommandReply::Done { text: format!("proposal {id}: rejected") })
}

/// What a chat is told.
pub(crate) fn in_words(id: ProposalId, reply: CommandReply) -> String {
    match reply {
        CommandReply::Done { text }
        | CommandReply::Said { text }
        | CommandReply::Job { text, .. }
        | CommandReply::Shell { text, .. } => text,
        CommandReply::Accepted { .. } | CommandReply::CodeNeeded { .. } | CommandReply::Confirm { .. } => {
            format!("this needs the code of your authenticator app: /accept {id} and its six digits")
        }
    }
}

fn already(id: ProposalId, settled: &Settlement) -> Failure {
    user(format!("proposal {id} was settled before: {}", outcome(settled)), "nothing more is to be done")
}

fn outcome(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Accepted => "accepted; what came of it is not known".to_owned(),
        Settlement::Done { text } => format!("done. {}", text.chars().take(300).collect::<String>()),
        Settlement::Failed { error } => format!("failed: {}", error.chars().take(300).collect::<String>()),
        Settlement::Rejected => "rejected".to_owned(),
    }
}
