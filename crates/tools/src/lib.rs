//! The built-in tools. Each has one file with its description, its strict arguments and its work; all effects go through
//! `sandbox`, `egress` and `store`. Must not decide whether a call may happen, and must not open sockets, start processes or touch
//! files by itself. Start with [`builtin`].

mod arguments;
mod ask;
pub mod asked;
mod danger;
mod edit;
mod exec;
mod fetch;
mod glob;
mod grep;
mod html;
mod job;
mod list;
mod reach;
mod read;
mod replace;
mod search;
mod shell;
mod spec;
mod transcript;
mod write;

use std::sync::Arc;

use policy::Grant;
use sandbox::{Pool, Workspace};
use store::Store;
use types::{SessionId, Tool, WorkspaceName};

pub use fetch::{Web, Webs};
pub use glob::Glob;
pub use job::{JobAsk, JobCaller, Jobs, Plans, job};

/// Finds the files on which a session works in a configured workspace: those of the workspace, or of a tree of its own.
pub type Workspaces = Arc<dyn Fn(SessionId, &WorkspaceName) -> Option<Workspace> + Send + Sync>;

/// The tools every session has, in the fixed order in which models are told of them: exec, read, write, edit, list,
/// grep, search, fetch, ask.
pub fn builtin(store: Store, pool: Arc<Pool>, workspaces: Workspaces, webs: Webs) -> Vec<Arc<dyn Tool<Grant>>> {
    let reach = Arc::new(reach::Reach::new(store, pool, workspaces));
    vec![
        Arc::new(exec::Exec::new(Arc::clone(&reach))),
        Arc::new(read::Read::new(Arc::clone(&reach))),
        Arc::new(write::Write::new(Arc::clone(&reach))),
        Arc::new(edit::Edit::new(Arc::clone(&reach))),
        Arc::new(list::List::new(Arc::clone(&reach))),
        Arc::new(grep::Grep::new(Arc::clone(&reach))),
        Arc::new(search::Search::new(Arc::clone(&reach))),
        Arc::new(fetch::Fetch::new(webs)),
        Arc::new(ask::Ask::new(reach)),
    ]
}
