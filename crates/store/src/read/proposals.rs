//! What waits for the owner to accept it.

use rusqlite::{Connection, Row};
use types::{Proposal, ProposalId, TurnId};

use crate::{Store, codec, error::StoreError};

const COLUMNS: &str = "id, call, question, at, settled";

impl Store {
    /// The proposals that wait, oldest first.
    pub fn open_proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM proposals WHERE settled IS NULL ORDER BY id");
        self.read(|connection| codec::all(connection, &sql, [], map))
    }

    /// The proposals of a turn, oldest first.
    pub fn proposals_of(&self, turn: TurnId) -> Result<Vec<Proposal>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM proposals WHERE turn = ?1 ORDER BY id");
        self.read(|connection| codec::all(connection, &sql, [turn.0], map))
    }

    /// A proposal.
    pub fn proposal(&self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        self.read(|connection| proposal(connection, id))
    }
}

pub(crate) fn proposal(connection: &Connection, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM proposals WHERE id = ?1"), [id.0], map)
}

fn map(row: &Row<'_>) -> Result<Proposal, StoreError> {
    let settled: Option<String> = row.get(4)?;
    Ok(Proposal {
        id: ProposalId(row.get(0)?),
        call: row.get(1)?,
        question: codec::decode("proposal", &row.get::<_, String>(2)?)?,
        at: codec::time_at(row, 3)?,
        settled: settled.map(|text| codec::decode("end of a proposal", &text)).transpose()?,
    })
}
