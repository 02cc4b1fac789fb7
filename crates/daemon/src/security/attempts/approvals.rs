//! Approvals: one yes is good for one call, once, and where nobody is present there is no yes.

use policy::{Decision, Rules, decide, question, redeem};
use serde_json::json;
use types::{Answer, Label, Origin, SessionId, Sink, TurnId};

use super::{Surroundings, labels::Probe};
use crate::security::{
    Outcome,
    arena::{Trouble, workspace_name},
};

/// Takes an approval of one call and uses it for others.
pub(super) async fn replay(_around: &Surroundings) -> Outcome {
    match replayed() {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

fn replayed() -> Result<Outcome, Trouble> {
    let (workspace, rules) = (workspace_name()?, Rules::default());
    let shown = Probe::foreign(Sink::Send, Origin::Owner);
    let effect = shown.effect();
    let request = shown.request(&effect, &workspace);
    let yes = Answer::ONCE;
    let stored = question(&request, &rules, "audit");
    if redeem(&stored, &yes, &request, &rules).is_err() {
        return Err("an approval of the very call that was shown is refused".to_owned());
    }
    let mut through = Vec::new();
    let other = Probe { input: json!({ "to": "somebody@example.com" }), ..Probe::foreign(Sink::Send, Origin::Owner) };
    let graver = Probe::foreign(Sink::Destructive, Origin::Owner);
    let cleaner = Probe { label: Label::CLEAN, ..Probe::foreign(Sink::Send, Origin::Owner) };
    for (what, probe) in [("other arguments", &other), ("another sink", &graver), ("another label", &cleaner)] {
        let effect = probe.effect();
        if redeem(&stored, &yes, &probe.request(&effect, &workspace), &rules).is_ok() {
            through.push(format!("an approval was good for {what}"));
        }
    }
    let mut elsewhere = effect.clone();
    elsewhere.destinations = vec!["elsewhere@example.com".to_owned()];
    let mut more = effect.clone();
    more.payload = Some("more".to_owned());
    for (what, effect) in [("another destination", &elsewhere), ("another payload", &more)] {
        if redeem(&stored, &yes, &shown.request(effect, &workspace), &rules).is_ok() {
            through.push(format!("an approval was good for {what}"));
        }
    }
    let mut session = shown.request(&effect, &workspace);
    session.session = SessionId(2);
    let mut turn = shown.request(&effect, &workspace);
    turn.turn = TurnId(2);
    for (what, request) in [("another session", &session), ("another task", &turn)] {
        if redeem(&stored, &yes, request, &rules).is_ok() {
            through.push(format!("an approval was good for {what}"));
        }
    }
    let mut undone = shown.request(&effect, &workspace);
    undone.workspace_state = Some("another");
    if redeem(&stored, &yes, &undone, &rules).is_ok() {
        through.push("an approval was good for another state of the workspace".to_owned());
    }
    let newer = Rules { version: rules.version + 1, ..rules.clone() };
    if redeem(&stored, &yes, &request, &newer).is_ok() {
        through.push("an approval was good under another policy".to_owned());
    }
    for answer in [Answer::Denied, Answer::Expired, Answer::Withdrawn] {
        if redeem(&stored, &answer, &request, &rules).is_ok() {
            through.push(format!("{answer:?} counted as a yes"));
        }
    }
    Ok(Outcome::unless(&through, "12 other uses of one approval"))
}

/// Asks for what must be asked about, as a schedule, a program and a sub-agent.
pub(super) async fn nobody(_around: &Surroundings) -> Outcome {
    let Ok(workspace) = workspace_name() else { return Outcome::NotTried { why: "no workspace".to_owned() } };
    let mut through = Vec::new();
    let mut tried = 0;
    for origin in [Origin::Schedule, Origin::Program, Origin::SubAgent] {
        for sink in [Sink::Send, Sink::Credential, Sink::Persist, Sink::Destructive] {
            let probe = Probe::foreign(sink, origin);
            let effect = probe.effect();
            tried += 1;
            match decide(&probe.request(&effect, &workspace), &Rules::default()) {
                // A proposal has no effect either: it waits until the owner comes.
                Decision::Deny(_) | Decision::Propose(_) => {}
                Decision::Allow(_) | Decision::Ask(_) => {
                    through.push(format!("{sink:?} by {origin:?} was not denied although nobody is present"));
                }
            }
        }
    }
    Outcome::unless(&through, format!("{tried} risky calls with nobody present"))
}
