//! From the configuration to the coding agents that a driver knows: the built-in ones under their own names, and all that the
//! owner configured under the names that they have there.

use std::sync::Arc;

use coders::{Acp, Claude, Coder, Codex, Forge, OneShot, Opencode, Registry};

use crate::{Config, config::CoderKind};

/// The coding agents of a configuration.
pub(crate) fn registry(config: &Config) -> Registry {
    let named = config.coders.iter().filter_map(|(name, coder)| {
        let command = coder.command.clone();
        let known: Arc<dyn Coder> = match coder.kind(name)? {
            CoderKind::Claude => Arc::new(Claude),
            CoderKind::Codex => Arc::new(Codex),
            CoderKind::Opencode => Arc::new(Opencode),
            CoderKind::Forge => Arc::new(Forge),
            CoderKind::Acp => Arc::new(Acp::new(command)),
            CoderKind::Oneshot => Arc::new(OneShot::new(command, coder.success.clone())),
        };
        Some((name.clone(), known))
    });
    Registry::new(named.collect::<Vec<_>>())
}
