//! Delegation: a child that asks for everything must get no more than its parent has.

use std::collections::BTreeSet;

use policy::attenuate::{Closure, Powers, attenuate};
use types::{Label, MicroUsd};

use super::Surroundings;
use crate::security::Outcome;

/// Grows a line of sessions, each of which asks for all there is.
pub(super) async fn widened(_around: &Surroundings) -> Outcome {
    let names = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let all = Powers {
        tools: names(&["exec", "fetch", "read", "write"]),
        only_reads: false,
        sandbox: Closure::Ordinary,
        money: None,
        steps: u32::MAX,
        label: Label::CLEAN,
        destinations: None,
    };
    let narrow = Powers {
        tools: names(&["read"]),
        only_reads: true,
        sandbox: Closure::Strict,
        money: Some(MicroUsd(1_000)),
        steps: 3,
        label: Label::UNKNOWN,
        destinations: Some(names(&["example.com"])),
    };
    let mut wider = Vec::new();
    let mut parent = narrow.clone();
    for generation in 1..=3 {
        let child = attenuate(&parent, all.clone());
        if !narrow.covers(&child) || child.allow("exec", false, &[]) {
            wider.push(format!("a child of generation {generation} had more than the first parent: {child:?}"));
        }
        parent = child;
    }
    Outcome::unless(&wider, "three generations that asked for every tool, all money and a clean label")
}
