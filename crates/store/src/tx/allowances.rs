//! Allowances: saved, used and taken back. Which call one matches is not decided here.

use types::{Allowance, AllowanceId, AllowanceScope, Invariant, Offer, RequestId, TurnId};

use super::Tx;
use crate::{MAX_TEXT, codec, error::StoreError, read};

impl Tx<'_> {
    /// Saves the rule that was offered with a request.
    pub fn add_allowance(
        &mut self,
        request: RequestId,
        offer: &Offer,
        scope: AllowanceScope,
    ) -> Result<Allowance, StoreError> {
        codec::bounded("text of a rule", &offer.text, MAX_TEXT)?;
        let rule = codec::encode("rule", &offer.rule)?;
        let (session, turn) = match scope {
            AllowanceScope::Task { session, turn } => (Some(session.0), Some(turn.0)),
            AllowanceScope::Always => (None, None),
        };
        let sql = "INSERT INTO allowances (request, tool, rule, text, session, turn, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.run(sql, (request.0, &offer.rule.tool, rule, &offer.text, session, turn, self.now.0))?;
        Ok(Allowance {
            id: AllowanceId(self.last_row()),
            rule: offer.rule.clone(),
            text: offer.text.clone(),
            scope,
            request,
            created_at: self.now,
            uses: 0,
            used_at: None,
            revoked_at: None,
        })
    }

    /// Counts a use by a call of this turn. False when the allowance does not hold for it: it was taken back, or was for
    /// another task.
    pub fn use_allowance(&mut self, id: AllowanceId, turn: TurnId) -> Result<bool, StoreError> {
        let sql = "UPDATE allowances SET uses = uses + 1, used_at = ?3
                   WHERE id = ?1 AND (turn IS NULL OR turn = ?2) AND (revoked_at IS NULL OR ?4)";
        let ignore_revocation = Invariant::RevocationIsLive.is_broken();
        Ok(self.run(sql, (id.0, turn.0, self.now.0, ignore_revocation))? > 0)
    }

    /// Takes an allowance back. False when it was before.
    pub fn revoke_allowance(&mut self, id: AllowanceId) -> Result<bool, StoreError> {
        read::allowance(self.connection, id)?.ok_or_else(|| StoreError::not_found("allowance", id))?;
        let sql = "UPDATE allowances SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
        Ok(self.run(sql, (id.0, self.now.0))? > 0)
    }
}
