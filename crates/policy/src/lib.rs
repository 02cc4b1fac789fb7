//! The pure decision: may this effect happen? No clock, no IO, no async. [`decide`] is the table; a [`Grant`] is the
//! proof that it was asked, and nothing outside this crate can make one. Start reading there. Beside it stand the
//! arithmetic of [`budget`]s, the masking of secrets ([`redact`]), the rule on who is heard ([`admit`]), the rules that an approval
//! may leave behind ([`allowance`]) and the codes of the second factor ([`totp`]).

pub mod admit;
pub mod alarm;
pub mod allowance;
mod approval;
pub mod attenuate;
pub mod budget;
mod decide;
pub mod destination;
mod grant;
pub mod leak;
pub mod redact;
pub mod totp;

pub use admit::{Admission, Sender, admit};
pub use approval::{canonical, needs_second_factor, question, redeem};
pub use decide::{
    Act, BULK, Decision, Reason, Request, Rules, ToolRule, decide, decide_own, is_counted, label_of_call,
};
pub use grant::Grant;
pub use redact::Redactor;
