//! Reading the configuration again while the daemon runs.

use std::sync::Arc;

use types::Failure;

use crate::{Config, core::Core, wiring};

/// Puts the file's present content in force. Nothing changes when it has a mistake. Messengers and the API's address
/// are only read at the start; a change there is told.
pub(crate) fn reload(core: &Arc<Core>) -> Result<String, Failure> {
    let config = Config::load(&core.home.config()).map_err(|error| error.failure())?;
    let old = core.live();
    let restart = old.config.api.listen != config.api.listen
        || !old.config.channels.telegram.keys().eq(config.channels.telegram.keys());
    let live = wiring::live(core, config).map_err(|error| error.failure())?;
    let mut text = format!("the configuration is in force; {} answers", live.model);
    core.replace_live(live);
    if restart {
        text.push_str("; the changed channels or API address need a restart");
    }
    Ok(text)
}
