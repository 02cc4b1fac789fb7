//! The pure decision: may this effect happen? No clock, no IO, no async. [`decide`] is the table; a [`Grant`] is the
//! proof that it was asked, and nothing outside this crate can make one. Start reading there.

mod decide;
mod grant;

pub use decide::{Act, Decision, Reason, Request, Rules, ToolRule, canonical, decide, decide_own, question, redeem};
pub use grant::Grant;
