//! How the second factor stands.

use super::Tx;
use crate::{SecondFactor, error::StoreError, read};

impl Tx<'_> {
    /// How the second factor stands; none when none is set up.
    pub fn second_factor(&self) -> Result<Option<SecondFactor>, StoreError> {
        read::second_factor(self.connection)
    }

    /// Keeps how the second factor stands; none forgets it.
    pub fn set_second_factor(&mut self, state: Option<SecondFactor>) -> Result<(), StoreError> {
        let Some(state) = state else {
            self.run("DELETE FROM second_factor", [])?;
            return Ok(());
        };
        let sql = "INSERT OR REPLACE INTO second_factor (id, since, used_step, failures, locked_until)
                   VALUES (1, ?1, ?2, ?3, ?4)";
        let used_step = state.used_step.map(|step| i64::try_from(step).unwrap_or(i64::MAX));
        self.run(sql, (state.since.0, used_step, state.failures, state.locked_until.map(|at| at.0)))?;
        Ok(())
    }
}
