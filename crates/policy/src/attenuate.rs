//! Delegation only takes away: what a child session may is the meet of what its parent may and what it is meant to. Pure.

use std::collections::BTreeSet;

use types::{Invariant, Label, MicroUsd};

/// How far a sandbox is closed. Later is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closure {
    /// Commands with the workspace's own allow-list.
    Ordinary,
    /// Commands under the strict profile, without a network.
    Strict,
    /// No process at all.
    NoProcess,
}

/// What a session may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Powers {
    /// The tools it may call, by name.
    pub tools: BTreeSet<String>,
    /// Whether it may only look.
    pub only_reads: bool,
    /// How far its sandbox is closed.
    pub sandbox: Closure,
    /// What it may still spend; none for no limit.
    pub money: Option<MicroUsd>,
    /// How many model calls it may still make.
    pub steps: u32,
    /// Its label: where it begins.
    pub label: Label,
    /// Where it may send or fetch, as the owner or the parent named it; none for no bound but the policy's.
    pub destinations: Option<BTreeSet<String>>,
}

/// What a child of `parent` may that is meant to do `wanted`.
pub fn attenuate(parent: &Powers, wanted: Powers) -> Powers {
    if Invariant::DelegationAttenuates.is_broken() {
        return wanted;
    }
    Powers {
        tools: wanted.tools.intersection(&parent.tools).cloned().collect(),
        only_reads: wanted.only_reads || parent.only_reads,
        sandbox: wanted.sandbox.max(parent.sandbox),
        money: match (wanted.money, parent.money) {
            (Some(wanted), Some(parent)) => Some(wanted.min(parent)),
            (wanted, parent) => wanted.or(parent),
        },
        steps: wanted.steps.min(parent.steps),
        label: wanted.label.join(parent.label),
        destinations: match (wanted.destinations, &parent.destinations) {
            (Some(wanted), Some(parent)) => Some(wanted.intersection(parent).cloned().collect()),
            (wanted, parent) => wanted.or_else(|| parent.clone()),
        },
    }
}

impl Powers {
    /// Whether `child` may nothing that this may not, and knows at least what this knows.
    pub fn covers(&self, child: &Self) -> bool {
        child.tools.is_subset(&self.tools)
            && (child.only_reads || !self.only_reads)
            && child.sandbox >= self.sandbox
            && is_within(child.money, self.money)
            && child.steps <= self.steps
            && child.label.covers(self.label)
            && match (&child.destinations, &self.destinations) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(child), Some(parent)) => child.is_subset(parent),
            }
    }

    /// Whether a call of this tool to these destinations is among them.
    pub fn allow(&self, tool: &str, read_only: bool, destinations: &[String]) -> bool {
        let reaches = |allowed: &BTreeSet<String>| destinations.iter().all(|to| allowed.contains(to));
        self.tools.contains(tool)
            && (read_only || !self.only_reads)
            && self.steps > 0
            && self.destinations.as_ref().is_none_or(reaches)
    }
}

fn is_within(child: Option<MicroUsd>, parent: Option<MicroUsd>) -> bool {
    match (child, parent) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(child), Some(parent)) => child <= parent,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, option, prelude::*};

    use super::*;

    fn powers() -> impl Strategy<Value = Powers> {
        let names = || btree_set("[a-d]", 0..4);
        let label = proptest::sample::select(vec![Label::CLEAN, Label::OWNER, Label::FOREIGN, Label::UNKNOWN]);
        let sandbox = proptest::sample::select(vec![Closure::Ordinary, Closure::Strict, Closure::NoProcess]);
        let money = option::of((0..5_u64).prop_map(MicroUsd));
        (names(), any::<bool>(), sandbox, money, 0..5_u32, label, option::of(names())).prop_map(
            |(tools, only_reads, sandbox, money, steps, label, destinations)| Powers {
                tools,
                only_reads,
                sandbox,
                money,
                steps,
                label,
                destinations,
            },
        )
    }

    /// A tree of sessions, each with the place of its parent among those before it and with what it is meant to do.
    fn tree() -> impl Strategy<Value = (Powers, Vec<(usize, Powers)>)> {
        (powers(), proptest::collection::vec((any::<prop::sample::Index>(), powers()), 1..12)).prop_map(
            |(root, rest)| {
                let placed = rest.into_iter().enumerate().map(|(at, (parent, wanted))| (parent.index(at + 1), wanted));
                (root, placed.collect())
            },
        )
    }

    fn grow(root: Powers, rest: Vec<(usize, Powers)>) -> Vec<(Option<usize>, Powers)> {
        let mut all = vec![(None, root)];
        for (parent, wanted) in rest {
            let child = attenuate(&all[parent].1, wanted);
            all.push((Some(parent), child));
        }
        all
    }

    proptest! {
        #[test]
        fn no_session_of_any_tree_has_more_than_those_above_it((root, rest) in tree()) {
            let all = grow(root, rest);
            for (parent, child) in &all {
                let mut above = *parent;
                while let Some(at) = above {
                    prop_assert!(all[at].1.covers(child));
                    above = all[at].0;
                }
            }
        }

        #[test]
        fn a_call_that_a_child_may_its_parent_may(parent in powers(), wanted in powers(), to in "[a-d]", read: bool) {
            let child = attenuate(&parent, wanted);
            let to = [to];
            for tool in ["a", "b", "c", "d"] {
                prop_assert!(!child.allow(tool, read, &to) || parent.allow(tool, read, &to));
            }
        }
    }

    #[cfg(feature = "faults")]
    #[test]
    fn a_child_with_more_needs_the_promise_broken() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        let parent = Powers {
            tools: names(&["read"]),
            only_reads: true,
            sandbox: Closure::Strict,
            money: Some(MicroUsd(1)),
            steps: 1,
            label: Label::UNKNOWN,
            destinations: Some(BTreeSet::new()),
        };
        let wanted =
            Powers { tools: names(&["read", "send"]), only_reads: false, label: Label::CLEAN, ..parent.clone() };
        assert!(parent.covers(&attenuate(&parent, wanted.clone())));
        types::faults::set_broken("13");
        assert!(!parent.covers(&attenuate(&parent, wanted)));
    }
}
