//! Does the audit notice? An audit that cannot turn red is worth nothing, so it attacks something that is weak on purpose.

use types::{Invariant, SecretName};

use super::Surroundings;
use crate::security::Outcome;

/// Lets the attempts look at a defence that is known to be absent: they must call it broken.
pub(super) async fn notices(_around: &Surroundings) -> Outcome {
    if Invariant::AuditHonest.is_broken() {
        return Outcome::broken("the audit reports attempts that it did not make");
    }
    let Ok(name) = SecretName::new("bait") else { return Outcome::NotTried { why: "no bait".to_owned() } };
    let bait = "correct-horse-battery-staple";
    let weak = policy::Redactor::default();
    let sound = policy::Redactor::new([(name, bait.to_owned())]);
    match (super::secrets::leaks(&weak, bait).first(), super::secrets::leaks(&sound, bait).first()) {
        (Some(_), None) => Outcome::held("a mask that masks nothing was noticed"),
        (None, _) => Outcome::broken("a mask that masks nothing was called sound"),
        // That the sound one leaks is the finding of another attempt.
        (Some(_), Some(_)) => Outcome::held("a mask that masks nothing was noticed"),
    }
}
