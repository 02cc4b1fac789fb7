//! Which coding agents there are. Owns the table of those that need no configuration; must not know how any of them works.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::Coder;

/// The coding agents that this program can drive by itself. One more is one file and one line here.
static BUILT_IN: &[&dyn Coder] =
    &[&crate::claude::Claude, &crate::codex::Codex, &crate::opencode::Opencode, &crate::oneshot::Forge];

/// Coding agents by name: the built-in ones, and those that the configuration describes. Cheap to copy.
#[derive(Clone, Default)]
pub struct Registry {
    configured: Arc<BTreeMap<String, Arc<dyn Coder>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Registry {
    /// The built-in ones, and more under the names that the owner gave them. A configured name hides a built-in one.
    pub fn new(configured: impl IntoIterator<Item = (String, Arc<dyn Coder>)>) -> Self {
        Self { configured: Arc::new(configured.into_iter().collect()) }
    }

    /// The coding agent of this name.
    pub fn get(&self, name: &str) -> Option<&dyn Coder> {
        let built_in = || BUILT_IN.iter().copied().find(|coder| coder.name() == name);
        self.configured.get(name).map(AsRef::as_ref).or_else(built_in)
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let built_in = BUILT_IN.iter().map(|coder| coder.name());
        let mut names: Vec<&str> = self.configured.keys().map(String::as_str).chain(built_in).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
