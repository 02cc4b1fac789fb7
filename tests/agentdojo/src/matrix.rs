//! Which cases are run, and what is counted.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::{
    bridge::{Bridge, Suite},
    labels,
    options::Options,
    world::{Outcome, Owner, Planner, World},
};

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// The user tasks without an attack, by suite; the model reads everything itself.
    pub plain: BTreeMap<String, Benign>,
    /// The same with readers.
    pub readers: BTreeMap<String, Benign>,
    /// The pairs, by what they are and how the owner answers.
    pub attacks: Vec<Attacks>,
}

/// User tasks without an attack; the owner approves what he is asked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Benign {
    /// How many were run.
    pub tasks: u32,
    /// How many the benchmark found done.
    pub done: u32,
    /// The tasks that the benchmark found not done.
    pub not_done: Vec<u32>,
    /// The tasks that asked.
    pub asking: Vec<u32>,
    /// How many questions there were.
    pub asks: u32,
    /// How many were done by a plan with readers.
    pub with_readers: u32,
}

/// Pairs of a user task and an injection task.
#[derive(Clone, Debug, Serialize)]
pub struct Attacks {
    /// Which injection tasks, and how the owner answers.
    pub name: String,
    /// Whether it is a promise that none succeeds.
    pub is_promise: bool,
    /// How many pairs were run.
    pub pairs: u32,
    /// In how many the model came to see the injected text.
    pub seen: u32,
    /// In how many a reader did.
    pub seen_by_reader: u32,
    /// In how many the benchmark found the attack done.
    pub succeeded: u32,
    /// Which: suite, user task, injection task.
    pub which: Vec<(String, u32, u32)>,
    /// In how many the benchmark found the user's task done all the same.
    pub useful: u32,
    /// The calls of the attack that were tried.
    pub attempts: u32,
    /// Those that ran: most read, and change nothing.
    pub ran: u32,
    /// The questions to the owner.
    pub asks: u32,
}

/// One pair.
#[derive(Clone, Copy, Debug)]
struct Pair<'a> {
    suite: &'a str,
    user: u32,
    injection: u32,
    has_ground_truth: bool,
    has_calls: bool,
}

/// Runs everything that was asked for.
pub async fn run(options: &Options) -> Result<Measured> {
    let table = labels::read(&options.directory)?;
    let bridge = Bridge::start(&options.python, &options.directory)?;
    let mut suites = bridge.suites().await?;
    if let Some(only) = &options.suite {
        suites.retain(|name, _| name == only);
        ensure!(!suites.is_empty(), "there is no suite `{only}`; there are banking, slack, travel and workspace");
    }
    let planless = labels::read_planless(&options.directory)?;
    let world = |name| World { bridge: &bridge, name, suite: &suites[name], table: &table, planless: &planless };
    let mut measured = Measured {
        plain: benign(&suites, options, Planner::Plain, &world).await?,
        readers: benign(&suites, options, Planner::Readers, &world).await?,
        attacks: Vec::new(),
    };
    let pairs = pairs(&suites, options);
    let scripted: Vec<Pair<'_>> = pairs.iter().filter(|pair| pair.has_ground_truth).copied().collect();
    let ours: Vec<Pair<'_>> = pairs.iter().filter(|pair| !pair.has_ground_truth && pair.has_calls).copied().collect();
    let words: Vec<Pair<'_>> = pairs.iter().filter(|pair| !pair.has_calls).copied().collect();
    let (plain, readers) = (Planner::Plain, Planner::Readers);
    let mut rows = vec![
        ("with ground truth, no approval", &scripted, plain, Owner::Refuses, true),
        ("with ground truth, readers, no approval", &scripted, readers, Owner::Refuses, true),
        ("scripted by us, no approval", &ours, plain, Owner::Refuses, true),
        ("scripted by us, readers, no approval", &ours, readers, Owner::Refuses, true),
        ("words to the owner alone", &words, plain, Owner::Refuses, false),
    ];
    if options.compare {
        rows.push(("with ground truth, owner approves his own task's calls", &scripted, plain, Owner::Attends, true));
        rows.push(("scripted by us, owner approves his own task's calls", &ours, plain, Owner::Attends, true));
        rows.push(("with ground truth, everything approved", &scripted, plain, Owner::Approves, false));
        rows.push(("scripted by us, everything approved", &ours, plain, Owner::Approves, false));
    }
    for (name, pairs, planner, owner, is_promise) in rows {
        let pairs = spread(pairs, options.slice);
        let mut row = Attacks::new(name, is_promise);
        for pair in pairs {
            let outcome = world(pair.suite).run(pair.user, Some(pair.injection), planner, owner).await?;
            if options.verbose {
                eprintln!("{pair:?} {outcome:?}");
            }
            row.count(pair, &outcome);
        }
        measured.attacks.push(row);
    }
    Ok(measured)
}

async fn benign<'a>(
    suites: &'a BTreeMap<String, Suite>,
    options: &Options,
    planner: Planner,
    world: &impl Fn(&'a str) -> World<'a>,
) -> Result<BTreeMap<String, Benign>> {
    let mut tasks: Vec<(&str, u32)> = Vec::new();
    for (name, suite) in suites {
        tasks.extend(suite.users.iter().filter(|id| is_chosen(options, **id)).map(|id| (name.as_str(), *id)));
    }
    let mut counted: BTreeMap<String, Benign> = BTreeMap::new();
    for (name, user) in spread(&tasks, options.slice.map(|slice| slice / 2)) {
        let outcome = world(name).run(user, None, planner, Owner::Approves).await?;
        if options.verbose {
            eprintln!("{name} {user} {outcome:?}");
        }
        let row = counted.entry(name.to_owned()).or_default();
        row.tasks += 1;
        row.asks += outcome.asks;
        row.with_readers += u32::from(outcome.with_readers);
        if outcome.verdict.utility {
            row.done += 1;
        } else {
            row.not_done.push(user);
        }
        if outcome.asks > 0 {
            row.asking.push(user);
        }
    }
    Ok(counted)
}

fn is_chosen(options: &Options, user: u32) -> bool {
    options.user.is_none_or(|only| only == user)
}

fn pairs<'a>(suites: &'a BTreeMap<String, Suite>, options: &Options) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for (name, suite) in suites {
        for user in suite.users.iter().filter(|id| is_chosen(options, **id)) {
            pairs.extend(suite.injections.iter().map(|injection| Pair {
                suite: name,
                user: *user,
                injection: injection.id,
                has_ground_truth: injection.has_ground_truth,
                has_calls: injection.has_calls,
            }));
        }
    }
    pairs
}

/// About `most` of the items, spread evenly; always the same ones.
fn spread<T: Copy>(items: &[T], most: Option<usize>) -> Vec<T> {
    match most {
        Some(most) if most < items.len() => {
            (0..most).filter_map(|number| items.get(number * items.len() / most).copied()).collect()
        }
        Some(_) | None => items.to_vec(),
    }
}

impl Attacks {
    fn new(name: &str, is_promise: bool) -> Self {
        Self {
            name: name.to_owned(),
            is_promise,
            pairs: 0,
            seen: 0,
            seen_by_reader: 0,
            succeeded: 0,
            which: Vec::new(),
            useful: 0,
            attempts: 0,
            ran: 0,
            asks: 0,
        }
    }

    fn count(&mut self, pair: Pair<'_>, outcome: &Outcome) {
        self.pairs += 1;
        self.seen += u32::from(outcome.has_seen);
        self.seen_by_reader += u32::from(outcome.reader_has_seen);
        self.useful += u32::from(outcome.verdict.utility);
        self.attempts += outcome.attempts;
        self.ran += outcome.ran;
        self.asks += outcome.asks;
        if outcome.verdict.attacked {
            self.succeeded += 1;
            self.which.push((pair.suite.to_owned(), pair.user, pair.injection));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_spread_over_all_items() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(spread(&items, Some(4)), [0, 25, 50, 75]);
        assert_eq!(spread(&items, Some(200)).len(), 100);
        assert_eq!(spread(&items, None).len(), 100);
    }
}
