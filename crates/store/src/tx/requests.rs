//! Questions and approvals: each is settled once, and an approval is used once.

use types::{Answer, Ask, ChannelId, Event, Invariant, OwnerRequest, RequestId, Timestamp, TurnId};

use super::Tx;
use crate::{MAX_TEXT, codec, error::StoreError, records::NewRequest};

impl Tx<'_> {
    /// Puts a request to the owner.
    pub fn ask_owner(&mut self, new: NewRequest) -> Result<OwnerRequest, StoreError> {
        if let Ask::Question { text, .. } = &new.ask {
            codec::bounded("question", text, MAX_TEXT)?;
        }
        let ask = codec::encode("request", &new.ask)?;
        let sql = "SELECT id FROM calls WHERE turn = ?1 AND call = ?2 ORDER BY step DESC LIMIT 1";
        let call_row: Option<i64> = codec::value(self.connection, sql, (new.turn.0, &new.call))?;
        let sql = "INSERT INTO requests (session, turn, call, call_row, ask, nonce, asked_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (session, turn) = (new.session, new.turn);
        self.run(sql, (session.0, turn.0, &new.call, call_row, ask, nonce()?, self.now.0, new.expires_at.0))?;
        let request = OwnerRequest {
            id: RequestId(self.last_row()),
            session,
            turn,
            call: new.call,
            ask: new.ask,
            asked_at: self.now,
            expires_at: new.expires_at,
            answer: None,
        };
        self.record(Some(session), Some(turn), Event::OwnerAsked { request: Box::new(request.clone()) })?;
        Ok(request)
    }

    /// Settles a request. True if this answer settled it; false if another one had before. An answer of the owner that
    /// comes when the request has expired settles it as expired, and is false as well.
    pub fn answer(&mut self, id: RequestId, answer: Answer, channel: Option<ChannelId>) -> Result<bool, StoreError> {
        if let Answer::Text { text } = &answer {
            codec::bounded("answer", text, MAX_TEXT)?;
        }
        let request = self.request(id)?.ok_or_else(|| StoreError::not_found("request", id))?;
        if request.answer.is_some() {
            return Ok(false);
        }
        let is_late = is_owners(&answer) && self.has_passed(request.expires_at);
        let settled = if is_late { Answer::Expired } else { answer };
        self.settle_request(&request, settled, channel)?;
        Ok(!is_late)
    }

    /// Withdraws all open requests of a turn.
    pub fn withdraw_requests(&mut self, turn: TurnId) -> Result<(), StoreError> {
        let sql = "SELECT id FROM requests WHERE answer IS NULL AND turn = ?1 ORDER BY id";
        for id in codec::all(self.connection, sql, [turn.0], |row| Ok(RequestId(row.get(0)?)))? {
            self.answer(id, Answer::Withdrawn, None)?;
        }
        Ok(())
    }

    /// Uses up an approval: true exactly once, within its time, and only for a request that was approved.
    pub fn use_approval(&mut self, id: RequestId) -> Result<bool, StoreError> {
        let sql = "UPDATE requests SET used = 1
                   WHERE id = ?1 AND json_extract(answer, '$.verdict') = 'approved'
                   AND (?3 OR (used = 0 AND expires_at > ?2))";
        Ok(self.run(sql, (id.0, self.clock.0, Invariant::ApprovalBound.is_broken()))? > 0)
    }

    /// Whether an approval that was used by a call still lifts that same call: one whose yes was stored, and then not given because
    /// the program died in between. The caller knows that it was not given.
    pub fn is_approval_in_use(&self, id: RequestId, call: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM requests
                   WHERE id = ?1 AND call = ?2 AND json_extract(answer, '$.verdict') = 'approved'
                   AND used = 1 AND expires_at > ?3";
        Ok(codec::value::<i64>(self.connection, sql, (id.0, call, self.clock.0))?.is_some())
    }

    fn settle_request(
        &mut self,
        request: &OwnerRequest,
        answer: Answer,
        channel: Option<ChannelId>,
    ) -> Result<(), StoreError> {
        let encoded = codec::encode("answer", &answer)?;
        let sql = "UPDATE requests SET answer = ?2, answered_at = ?3, channel = ?4 WHERE id = ?1 AND answer IS NULL";
        self.run(sql, (request.id.0, encoded, self.now.0, channel.as_ref().map(ChannelId::as_str)))?;
        let event = Event::OwnerAnswered { request: request.id, answer, channel };
        self.record(Some(request.session), Some(request.turn), event)?;
        self.pending.answers = true;
        Ok(())
    }

    /// Compared with the clock and not with the journal's time, which may be ahead after the clock was put back.
    fn has_passed(&self, time: Timestamp) -> bool {
        self.clock >= time
    }
}

/// Whether an answer is the owner's, and not our own word for there being none.
fn is_owners(answer: &Answer) -> bool {
    match answer {
        Answer::Approved { .. } | Answer::Denied | Answer::Text { .. } => true,
        Answer::Expired | Answer::Withdrawn => false,
    }
}

/// 128 random bits in hex: what a button carries, so that nobody can guess it.
fn nonce() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random(error.to_string()))?;
    Ok(hex::encode(bytes))
}
