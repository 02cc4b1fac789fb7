//! Proposals: each is settled once, and runs at most once.

use types::{Event, Proposal, ProposalId, Question, Settlement, TurnId};

use super::{Tx, beginning};
use crate::{codec, error::StoreError};

/// The most proposals that may wait. Whoever can set off a task could otherwise bury the owner in them.
const MAX_OPEN: i64 = 50;
/// The most characters that are kept of what came of one.
const MAX_OUTCOME: usize = 2_000;

impl Tx<'_> {
    /// Keeps a call as a proposal. A call of the same turn with the same question is the same proposal. None when too many
    /// wait already.
    pub fn propose(&mut self, call: &str, question: &Question) -> Result<Option<Proposal>, StoreError> {
        if let Some(known) = self.known(question.turn, call, question)? {
            return Ok(Some(known));
        }
        let open = codec::value(self.connection, "SELECT count(*) FROM proposals WHERE settled IS NULL", [])?;
        if open.unwrap_or(0) >= MAX_OPEN {
            return Ok(None);
        }
        let encoded = codec::encode("proposal", question)?;
        let sql = "INSERT INTO proposals (turn, call, question, at) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, (question.turn.0, call, encoded, self.now.0))?;
        let proposal = Proposal {
            id: ProposalId(self.last_row()),
            call: call.to_owned(),
            question: question.clone(),
            at: self.now,
            settled: None,
        };
        let event = Event::Proposed { proposal: Box::new(proposal.clone()) };
        self.record(Some(question.session), Some(question.turn), event)?;
        Ok(Some(proposal))
    }

    /// Accepts or rejects a proposal that waits. False when it was settled before: whoever gets true may run it, once.
    pub fn settle_proposal(&mut self, id: ProposalId, accepted: bool) -> Result<bool, StoreError> {
        let settlement = if accepted { Settlement::Accepted } else { Settlement::Rejected };
        self.move_proposal(id, None, settlement)
    }

    /// Stores what came of a proposal that was accepted.
    pub fn finish_proposal(&mut self, id: ProposalId, settlement: Settlement) -> Result<bool, StoreError> {
        let settlement = match settlement {
            Settlement::Done { text } => Settlement::Done { text: beginning(&text, MAX_OUTCOME) },
            Settlement::Failed { error } => Settlement::Failed { error: beginning(&error, MAX_OUTCOME) },
            settlement @ (Settlement::Accepted | Settlement::Rejected) => settlement,
        };
        self.move_proposal(id, Some(Settlement::Accepted), settlement)
    }

    fn move_proposal(&mut self, id: ProposalId, from: Option<Settlement>, to: Settlement) -> Result<bool, StoreError> {
        let proposal = self.proposal(id)?.ok_or_else(|| StoreError::not_found("proposal", id))?;
        if proposal.settled != from {
            return Ok(false);
        }
        let encoded = codec::encode("end of a proposal", &to)?;
        self.run("UPDATE proposals SET settled = ?2, settled_at = ?3 WHERE id = ?1", (id.0, encoded, self.now.0))?;
        let question = proposal.question;
        let event = Event::ProposalSettled { proposal: id, settlement: to };
        self.record(Some(question.session), Some(question.turn), event)?;
        Ok(true)
    }

    fn known(&self, turn: TurnId, call: &str, question: &Question) -> Result<Option<Proposal>, StoreError> {
        let sql = "SELECT id FROM proposals WHERE turn = ?1 AND call = ?2 ORDER BY id DESC LIMIT 1";
        let id: Option<i64> = codec::value(self.connection, sql, (turn.0, call))?;
        let known = id.map(|id| self.proposal(ProposalId(id))).transpose()?.flatten();
        Ok(known.filter(|known| known.question.hash == question.hash))
    }
}
