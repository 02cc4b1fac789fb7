//! The dead man's rule: when the owner has not been heard of for too long, or work without them has cost too much since,
//! no task begins that they did not begin themselves. Whatever they write lifts it.

use policy::alarm;
use store::StoreError;
use types::Timestamp;

use crate::core::{Core, MAIN_SESSION};

/// Why work without the owner may not begin now.
pub(crate) fn refusal(core: &Core) -> Result<Option<String>, StoreError> {
    let config = &core.live().config.alarms;
    // An owner who never wrote is counted from the first start.
    let heard = match core.store.owner_heard()? {
        Some(heard) => heard,
        None => core.store.session_by_key(MAIN_SESSION)?.map_or(Timestamp(0), |session| session.created_at),
    };
    let silent = core.clock.now().since(heard);
    let spent = core.store.spent_unattended(heard)?;
    Ok(alarm::dead_man(config.silent(), config.unattended(), silent, spent))
}
