//! Reading the configuration again while the daemon runs.

use std::sync::Arc;

use channels::telegram;
use serde_json::json;
use store::audit::{AuditEntry, AuditKind};
use types::{ChannelId, Code, CommandReply, Failure};

use crate::{Config, core::Core, failure::internal, second_factor, security, widening::widened, wiring};

/// Puts the file's present content in force. Nothing changes when it has a mistake. Who may use a messenger changes at
/// once; its other settings, the API's address, the sandbox's and the snapshots' are only read at the start, and a change
/// there is told.
///
/// Where more becomes possible by it, the second factor is needed if one is set up. Whoever can write the file and restart
/// the daemon needs none: the file is out of reach of everything that the model can do.
pub(crate) async fn reload(core: &Arc<Core>, code: Option<&Code>) -> Result<CommandReply, Failure> {
    let config = Config::load(&core.home.config()).map_err(|error| error.failure())?;
    security::refuse_unsafe(&config, security::is_strong(&core.canary.borrow()))?;
    let old = core.live();
    let wider = widened(&old.config, &config);
    if !wider.is_empty()
        && let Some(reply) = second_factor::require(core, code, &format!("{} in config.toml", wider.join("; "))).await?
    {
        return Ok(reply);
    }
    let detail = json!({ "configuration": "reloaded", "wider": wider });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Policy, detail };
    core.store.audit().append(entry).await.map_err(internal)?;
    let late = needs_restart(&old.config, &config);
    let live = wiring::live(core, config).map_err(|error| error.failure())?;
    let mut text = format!("the configuration is in force; {} answers", live.model);
    let present = &live.config.channels.telegram;
    for name in old.config.channels.telegram.keys() {
        if let Some(messenger) = core.messengers.get(&ChannelId::new("telegram", name)) {
            // A bot that is no longer configured falls silent now, even though it is received until the restart.
            messenger.set_allow(present.get(name).map(wiring::allowed).unwrap_or_default());
        }
    }
    core.replace_live(live);
    if !late.is_empty() {
        text.push_str(&format!("; what changed in {} needs a restart", late.join(", ")));
    }
    Ok(CommandReply::Done { text })
}

/// The tables whose changes wait for the next start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let bots = |config: &Config| {
        let without_people = |(name, bot): (&String, &telegram::Config)| {
            (name.clone(), telegram::Config { allow: Vec::new(), ..bot.clone() })
        };
        config.channels.telegram.iter().map(without_people).collect::<Vec<_>>()
    };
    let tables = [
        ("[api]", old.api.listen != new.api.listen),
        ("[channels]", bots(old) != bots(new)),
        ("[sandbox]", old.sandbox != new.sandbox),
        ("[snapshots]", old.snapshots != new.snapshots),
        ("[audit]", old.audit != new.audit),
    ];
    tables.into_iter().filter(|(_, changed)| *changed).map(|(table, _)| table).collect()
}
