//! Reading the configuration again while the daemon runs.

use std::sync::Arc;

use channels::telegram;
use types::{ChannelId, Failure};

use crate::{Config, core::Core, wiring};

/// Puts the file's present content in force. Nothing changes when it has a mistake. Who may use a messenger changes at
/// once; its other settings, the API's address, the sandbox's and the snapshots' are only read at the start, and a change
/// there is told.
pub(crate) fn reload(core: &Arc<Core>) -> Result<String, Failure> {
    let config = Config::load(&core.home.config()).map_err(|error| error.failure())?;
    let old = core.live();
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
    Ok(text)
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
