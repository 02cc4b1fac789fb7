//! What the owner is told at the end of a task that ran without them: which calls were not allowed, and what waits for
//! them. The model need not be asked to say so, and cannot keep it back.

use store::{CallRecord, CallState, StoreError};
use types::{Origin, Proposal, ToolEnd};

use crate::{cap::line, gate, run::Run};

/// The most calls that are listed.
const LISTED: usize = 8;
/// The most characters of one.
const SHOWN: usize = 120;

/// The report, to be put under the final text. None where the owner was asked themselves, and none for somebody who may
/// talk but is not the owner.
pub(crate) fn of(run: &Run<'_>, calls: &[CallRecord]) -> Result<Option<String>, StoreError> {
    match run.turn.origin {
        Origin::Owner | Origin::Program => return Ok(None),
        Origin::SubAgent | Origin::Schedule => {}
    }
    let proposals = run.deps.store.proposals_of(run.turn.id)?;
    let is_proposal = |record: &&CallRecord| proposals.iter().any(|proposal| proposal.call == record.call.id);
    let denied: Vec<String> = calls
        .iter()
        .filter(|record| record.state == CallState::Finished(ToolEnd::Denied))
        .filter(|record| !is_proposal(record))
        .map(|record| format!("- {}", line(&gate::summary(run, &record.call), SHOWN)))
        .collect();
    let mut parts = Vec::new();
    parts.extend(list("Not done, because you were not there to approve it:", &denied));
    let waiting: Vec<String> = proposals.iter().map(shown).collect();
    parts.extend(list("Waits for your decision:", &waiting));
    Ok((!parts.is_empty()).then(|| parts.join("\n\n")))
}

fn shown(proposal: &Proposal) -> String {
    let (id, summary) = (proposal.id, line(&proposal.question.effect.summary, SHOWN));
    format!("- proposal {id}: {summary} (/accept {id} or /reject {id})")
}

fn list(title: &str, lines: &[String]) -> Option<String> {
    if lines.is_empty() {
        return None;
    }
    let more = lines.len().saturating_sub(LISTED);
    let mut text = format!("{title}\n{}", lines[..lines.len() - more].join("\n"));
    if more > 0 {
        text.push_str(&format!("\n- and {more} more"));
    }
    Some(text)
}

/// A final text with the report under it.
pub(crate) fn under(text: String, report: Option<String>) -> String {
    match report {
        None => text,
        Some(report) if text.trim().is_empty() => report,
        Some(report) => format!("{text}\n\n{report}"),
    }
}
