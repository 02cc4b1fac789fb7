//! Whether a reader may look: judged as the act of a child that got no more than it needs, and no more than its parent.

use std::collections::BTreeSet;

use policy::{
    Decision, Grant, Request, ToolRule,
    attenuate::{Closure, Powers, attenuate},
    budget, decide,
};
use store::StoreError;
use types::{Label, Origin};

use super::Reading;
use crate::{gate, limits, run::Run};

/// The grant for the look, or why there is none.
pub(super) fn permit(run: &Run<'_>, reading: &Reading) -> Result<Result<Grant, String>, StoreError> {
    let effect = &reading.effect;
    let parent = powers(run)?;
    let wanted = Powers {
        tools: BTreeSet::from([reading.call.name.clone()]),
        only_reads: true,
        sandbox: Closure::NoProcess,
        money: parent.money,
        steps: 1,
        label: parent.label,
        destinations: Some(effect.destinations.iter().cloned().collect()),
    };
    let child = attenuate(&parent, wanted);
    if !child.allow(&reading.call.name, effect.read_only, &effect.destinations) {
        return Ok(Err("this session may not look there, so its reader may not either".to_owned()));
    }
    let request = Request {
        tool: &reading.call.name,
        input: &reading.call.input,
        effect,
        label: child.label.join(reading.passed_on.unwrap_or(Label::CLEAN)),
        origin: match run.turn.origin {
            // Somebody who is not the owner does not become more by asking a reader.
            Origin::Program => Origin::Program,
            Origin::Owner | Origin::SubAgent | Origin::Schedule => Origin::SubAgent,
        },
        session: run.session,
        turn: run.turn.id,
        workspace: &run.workspace,
        workspace_state: None,
        destinations_are_owners: gate::owner_wrote(run, &effect.destinations)?,
        touched: 0,
    };
    Ok(match decide(&request, &run.deps.rules.get()) {
        Decision::Allow(grant) => Ok(grant),
        Decision::Ask(question) | Decision::Propose(question) => Err(question.reason),
        Decision::Deny(reason) => Err(reason.0),
    })
}

/// What the session itself may at this moment.
fn powers(run: &Run<'_>) -> Result<Powers, StoreError> {
    let limits = &run.deps.settings.limits;
    let turn = run.deps.store.turn(run.turn.id)?.unwrap_or_else(|| run.turn.clone());
    let spent = limits::spent(&turn, run.deps.clock.now(), |scope| run.deps.store.spent(scope))?;
    let rules = run.deps.rules.get();
    let is_on = |name: &String| rules.tools.get(name) != Some(&ToolRule::Deny);
    Ok(Powers {
        tools: run.deps.tools.specs().iter().map(|spec| spec.name.clone()).filter(is_on).collect(),
        only_reads: false,
        sandbox: Closure::Ordinary,
        money: budget::affordable(limits, &spent),
        steps: limits.steps.saturating_sub(turn.step),
        label: run.label()?,
        destinations: None,
    })
}
