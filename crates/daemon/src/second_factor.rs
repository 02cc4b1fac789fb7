//! The second factor: codes of an authenticator app that go with answers and commands by which more becomes possible.
//! Each code counts once; after a few wrong ones none is accepted for a while. The secret stays in the vault.

use std::time::Duration;

use egress::SecondFactorKey;
use serde_json::json;
use store::{
    SecondFactor, StoreError, Tx,
    audit::{AuditEntry, AuditKind},
};
use types::{Code, CommandReply, Event, Failure, Level, Timestamp};

use crate::{
    core::Core,
    failure::{internal, stored, user},
};

/// After so many wrong codes in a row none is accepted for a while.
const MOST_WRONG: u32 = 5;
/// For how long.
const LOCK: Duration = Duration::from_secs(15 * 60);

/// What came of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    Accepted,
    Wrong {
        left: u32,
    },
    /// This was one wrong code too many.
    LockedNow,
    Locked {
        until: Timestamp,
    },
    NotSetUp,
}

/// A fresh secret in base32, for a client that sets the second factor up.
pub fn totp_secret() -> std::io::Result<String> {
    let mut bytes = [0_u8; policy::totp::SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(policy::totp::Secret::new(bytes).base32())
}

/// Whether one is set up.
pub(crate) fn is_set_up(core: &Core) -> Result<bool, Failure> {
    Ok(core.store.second_factor().map_err(stored)?.is_some())
}

/// Lets pass where no second factor is set up, and where the code is right. Gives the reply that asks for one where it is
/// missing. `purpose` is for the record, in a few words.
pub(crate) async fn require(core: &Core, code: Option<&Code>, purpose: &str) -> Result<Option<CommandReply>, Failure> {
    if !is_set_up(core)? {
        return Ok(None);
    }
    match code {
        Some(code) => check(core, code, purpose).await.map(|()| None),
        None => Ok(Some(CommandReply::CodeNeeded {
            text: format!("the code of your authenticator app is needed: {purpose}"),
        })),
    }
}

/// Checks a code and uses it up.
async fn check(core: &Core, code: &Code, purpose: &str) -> Result<(), Failure> {
    let key = core.vault.second_factor_key().map_err(internal)?;
    let key = key.ok_or_else(|| {
        let hint = "restore the vault from a backup, or stop the daemon and run `factotum totp off --lost`";
        user("the second factor is set up, and its secret is missing from the vault", hint)
    })?;
    let (code, now) = (code.clone(), core.clock.now());
    let checked = core.store.transact(move |tx| verify(tx, &key, &code, now)).await.map_err(stored)?;
    let refuse = |error: String, hint: &str| Err(user(error, hint));
    match checked {
        Checked::Accepted => {
            record(core, json!({ "second_factor": "accepted", "for": purpose })).await?;
            Ok(())
        }
        Checked::Wrong { left } => {
            record(core, json!({ "second_factor": "wrong", "for": purpose })).await?;
            let hint = "wait for the next code: each counts once, and the clocks may differ by half a minute";
            refuse(format!("the code is wrong; {left} more wrong ones and none is accepted for a while"), hint)
        }
        Checked::LockedNow => {
            record(core, json!({ "second_factor": "locked", "for": purpose })).await?;
            refuse("the code is wrong, and was one too many; none is accepted for 15 minutes".to_owned(), "wait")
        }
        Checked::Locked { until } => {
            let minutes = until.since(now).as_secs().div_ceil(60);
            refuse(format!("too many codes were wrong; none is accepted for {minutes} min"), "wait")
        }
        Checked::NotSetUp => refuse("no second factor is set up".to_owned(), "`factotum totp setup` sets one up"),
    }
}

/// One transaction, so that of two uses of one code at the same moment one counts.
fn verify(tx: &mut Tx<'_>, key: &SecondFactorKey, code: &Code, now: Timestamp) -> Result<Checked, StoreError> {
    let Some(state) = tx.second_factor()? else { return Ok(Checked::NotSetUp) };
    if let Some(until) = state.locked_until.filter(|until| *until > now) {
        return Ok(Checked::Locked { until });
    }
    if let Some(step) = key.verify(code.expose(), seconds(now), state.used_step) {
        let used = SecondFactor { used_step: Some(step), failures: 0, locked_until: None, ..state };
        tx.set_second_factor(Some(used))?;
        return Ok(Checked::Accepted);
    }
    let failures = state.failures.saturating_add(1);
    if failures < MOST_WRONG {
        tx.set_second_factor(Some(SecondFactor { failures, locked_until: None, ..state }))?;
        return Ok(Checked::Wrong { left: MOST_WRONG - failures });
    }
    tx.set_second_factor(Some(SecondFactor { failures: 0, locked_until: Some(now.plus(LOCK)), ..state }))?;
    let text = format!(
        "{MOST_WRONG} wrong codes of the second factor were given in a row; none is accepted for 15 minutes. If that \
         was not you, somebody can reach one of your channels or the API: look at `factotum log show`."
    );
    tx.record(None, None, Event::Notice { level: Level::Warning, text })?;
    Ok(Checked::LockedNow)
}

/// Sets the second factor up, or puts another secret in the place of the present one.
pub(crate) async fn set_up(
    core: &Core,
    secret: &Code,
    code: &Code,
    present: Option<&Code>,
) -> Result<CommandReply, Failure> {
    if let Some(reply) = require(core, present, "the second factor is replaced").await? {
        return Ok(reply);
    }
    let key = SecondFactorKey::read(secret.expose())
        .ok_or_else(|| user("the secret is not 20 bytes in base32", "use `factotum totp setup`, which makes one"))?;
    let now = core.clock.now();
    let step = key.verify(code.expose(), seconds(now), None).ok_or_else(|| {
        user("the code is not the one of this secret", "compare the clocks of the phone and of this machine")
    })?;
    record(core, json!({ "second_factor": "set up" })).await?;
    core.vault.set_second_factor_key(&key, now).map_err(internal)?;
    let state = SecondFactor { since: now, used_step: Some(step), failures: 0, locked_until: None };
    let text =
        "the second factor is set up: what persists, destroys or widens what may be done needs a code".to_owned();
    let notice = Event::Notice { level: Level::Warning, text: text.clone() };
    let store = move |tx: &mut Tx<'_>| {
        tx.set_second_factor(Some(state))?;
        tx.record(None, None, notice).map(|_| ())
    };
    core.store.transact(store).await.map_err(stored)?;
    Ok(CommandReply::Done { text })
}

/// Does without the second factor from here on.
pub(crate) async fn remove(core: &Core, code: &Code) -> Result<CommandReply, Failure> {
    check(core, code, "the second factor is removed").await?;
    record(core, json!({ "second_factor": "removed" })).await?;
    let text = "the second factor is off: approvals need no code".to_owned();
    let notice = Event::Notice { level: Level::Warning, text: text.clone() };
    let store = move |tx: &mut Tx<'_>| {
        tx.set_second_factor(None)?;
        tx.record(None, None, notice).map(|_| ())
    };
    core.store.transact(store).await.map_err(stored)?;
    core.vault.remove_second_factor_key().map_err(internal)?;
    Ok(CommandReply::Done { text })
}

async fn record(core: &Core, detail: serde_json::Value) -> Result<(), Failure> {
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Login, detail };
    core.store.audit().append(entry).await.map(|_| ()).map_err(internal)
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.0 / 1_000).unwrap_or(0)
}
