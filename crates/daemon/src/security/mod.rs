//! `factotum security audit`: it attempts the attacks that the product promises to withstand, on the machine and with the
//! settings that are really in use, and checks what cannot be attempted. It must not change anything unless it was asked
//! to, must not send anything off the machine, and must never call something held that it did not try. Start reading at
//! [`audit`]; attempts stand in `attempts`, checks in `checks`, one file per theme.

mod arena;
mod attempts;
mod checks;
mod finding;
mod refusal;
mod run;

pub use finding::{Attempted, Finding, Outcome, Report, Severity};
pub(crate) use refusal::{has_web, is_small, is_strong, needs_strong_sandbox, refuse_unsafe};
pub use run::{AuditOptions, audit};
