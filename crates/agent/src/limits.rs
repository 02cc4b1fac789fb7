//! What a turn has used, gathered for the arithmetic in `policy::budget`.

use policy::budget::{Limits, Spent};
use store::{Spend, SpendScope, StoreError, Turn, year_month};
use types::{Invariant, Timestamp};

/// Everything that budgets look at. `spend` reads from the store or from a transaction.
pub(crate) fn spent(
    turn: &Turn,
    now: Timestamp,
    spend: impl Fn(SpendScope) -> Result<Spend, StoreError>,
) -> Result<Spent, StoreError> {
    let own = spend(SpendScope::Turn(turn.id))?;
    Ok(Spent {
        task: own.total(),
        day: spend(SpendScope::Day(now.day()))?.total(),
        month: spend(SpendScope::Month { year_month: year_month(now) })?.total(),
        steps: turn.step,
        tokens: own.usage.context().saturating_add(own.usage.output),
        wall: now.since(turn.started_at),
    })
}

/// The limits that count: none where a test breaks that caps hold.
pub(crate) fn in_force(limits: &Limits) -> Limits {
    if Invariant::CapsHold.is_broken() {
        return Limits { task: None, day: None, month: None, steps: u32::MAX, tokens: None, wall: None };
    }
    *limits
}
