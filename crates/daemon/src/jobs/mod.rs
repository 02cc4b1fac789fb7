//! Long work of coding agents (decision 0007). A job is a session and a turn in it that a coding agent works on instead of our
//! own loop. Owns the queue, the steps of a job and what follows from each; must not know a coding agent's language (that is
//! `coders`), start a process (`sandbox`), or decide what is allowed (`policy`). Start with [`Shop`] for what it needs and with
//! `worker` for what it does.

pub mod check;
mod command;
pub mod consent;
mod control;
mod door;
mod ending;
mod engine;
mod farewell;
pub mod forge;
mod gate;
mod git;
mod guard;
mod hand;
pub mod land;
mod limits;
mod next;
mod origin;
mod own;
mod phases;
mod prompts;
mod proof;
mod questions;
pub mod recipes;
mod record;
mod registry;
mod report;
pub mod review;
mod round;
mod seam;
mod site;
mod stored;
mod take;
mod takeover;
mod telling;
#[cfg(test)]
mod tests;
mod tool;
mod trade;
pub mod tree;
mod view;
mod worker;

pub(crate) use command::{
    Asked, diff, find, from_recipe, listed, present_workspace, recipe, recipe_lines, recipe_list, resume, shown, start,
    steer, stop_one,
};
pub(crate) use engine::{Jobs, run};
pub use git::{Author, InvalidAuthor, InvalidBranch, check_branch};
pub(crate) use guard::of_sessions as fixed_of_sessions;
pub(crate) use own::own_tree;
pub(crate) use registry::registry;
pub use seam::{Checked, Hand, JobTrouble, Landed, NotTold, Prepared, Said, Shop, TakenUp};
pub use site::{Site, SiteError};
pub(crate) use takeover::{Terminal, closed, hand_back, take_over, terminal};
pub(crate) use telling::{is_left_over, may_begin};
pub(crate) use tool::{Late, plan_of, tool};
pub(crate) use trade::Trade;
pub(crate) use view::view;

/// Our own loop, as the name of a coding agent.
pub(crate) const OUR_OWN: &str = "factotum";
