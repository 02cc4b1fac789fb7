//! `factotum setup`: from nothing to a working configuration, by questions or by options.

mod apparmor;
mod choices;
mod flags;
mod run;
mod wizard;

pub use flags::Setup;
