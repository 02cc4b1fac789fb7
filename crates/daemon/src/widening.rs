//! Whether a configuration lets more happen than another. Pure. What cannot be told to be narrower counts as wider.

use std::fmt::Debug;

use policy::ToolRule;

use crate::Config;

/// What would become possible, a phrase each; empty when nothing does.
pub(crate) fn widened(old: &Config, new: &Config) -> Vec<String> {
    let mut wider = Vec::new();
    tools(old, new, &mut wider);
    people(old, new, &mut wider);
    workspaces(old, new, &mut wider);
    budget(old, new, &mut wider);
    for (table, changes) in [
        ("[sandbox]", is_other(&old.sandbox, &new.sandbox)),
        ("[network]", is_other(&old.network, &new.network)),
        ("[web]", is_other(&old.web, &new.web)),
        ("[audit]", is_other(&old.audit, &new.audit)),
        ("[alarms]", is_other(&old.alarms, &new.alarms)),
        ("[providers]", is_other(&old.providers, &new.providers)),
        ("[snapshots]", is_other(&old.snapshots, &new.snapshots)),
    ] {
        if changes {
            wider.push(format!("{table} changes"));
        }
    }
    if new.agent.reader_bits > old.agent.reader_bits {
        wider.push("readers may tell more of foreign text".to_owned());
    }
    if old.api.listen != new.api.listen {
        wider.push("the API listens elsewhere".to_owned());
    }
    if new.agent.approval_timeout_s > old.agent.approval_timeout_s {
        wider.push("approvals hold longer".to_owned());
    }
    wider
}

fn tools(old: &Config, new: &Config, wider: &mut Vec<String>) {
    for (tool, before) in &old.tools {
        let after = new.tools.get(tool).copied().unwrap_or_default();
        if strictness(after) < strictness(*before) {
            wider.push(format!("the tool `{tool}` is less restricted"));
        }
    }
}

fn strictness(rule: ToolRule) -> u8 {
    match rule {
        ToolRule::Policy => 0,
        ToolRule::Ask => 1,
        ToolRule::Deny => 2,
    }
}

fn people(old: &Config, new: &Config, wider: &mut Vec<String>) {
    for (name, bot) in &new.channels.telegram {
        let before = old.channels.telegram.get(name).map(|bot| bot.allow.as_slice()).unwrap_or_default();
        let is_new = |person: &i64| !before.contains(person);
        if bot.allow.first() != before.first() || bot.allow.iter().any(is_new) {
            wider.push(format!("other people may use the bot `{name}`"));
        }
    }
}

fn workspaces(old: &Config, new: &Config, wider: &mut Vec<String>) {
    for (name, workspace) in &new.workspaces {
        match old.workspaces.get(name) {
            None => wider.push(format!("there is another workspace, `{name}`")),
            Some(before) if is_other(before, workspace) => wider.push(format!("the workspace `{name}` changes")),
            Some(_) => {}
        }
    }
}

fn budget(old: &Config, new: &Config, wider: &mut Vec<String>) {
    let (before, after) = (old.budget.limits(), new.budget.limits());
    let is_raised = is_higher(before.task, after.task)
        || is_higher(before.day, after.day)
        || is_higher(before.month, after.month)
        || is_higher(before.tokens, after.tokens)
        || is_higher(before.wall, after.wall)
        || after.steps > before.steps;
    if is_raised {
        wider.push("a limit of [budget] is raised".to_owned());
    }
}

/// An absent limit is the highest.
fn is_higher<T: PartialOrd>(before: Option<T>, after: Option<T>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    }
}

/// Whether two sections differ at all. Their debug form holds every field, those that are added later included.
fn is_other<T: Debug>(before: &T, after: &T) -> bool {
    format!("{before:?}") != format!("{after:?}")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "
[tools]
exec = \"ask\"
[budget]
day_usd = 5.0
steps = 50
[workspaces.a]
path = \"/srv/a\"
[channels.telegram.home]
token = \"t\"
allow = [1, 2]
";

    fn check(change: impl Fn(String) -> String) -> Vec<String> {
        let read = |text: &str| Config::parse(text, Path::new("config.toml")).unwrap();
        widened(&read(BASE), &read(&change(BASE.to_owned())))
    }

    #[test]
    fn what_widens_is_named() {
        for (from, to, part) in [
            ("\"ask\"", "\"policy\"", "`exec`"),
            ("exec = \"ask\"", "", "`exec`"),
            ("5.0", "6.0", "[budget]"),
            ("steps = 50", "steps = 51", "[budget]"),
            ("[1, 2]", "[1, 2, 3]", "`home`"),
            ("[1, 2]", "[2, 1]", "`home`"),
            ("/srv/a", "/srv/b", "`a`"),
            ("[budget]", "[workspaces.b]\npath = \"/srv/b\"\n[budget]", "`b`"),
            ("[budget]", "[sandbox]\npids = 400\n[budget]", "[sandbox]"),
            ("[budget]", "[agent]\napproval_timeout_s = 90000\n[budget]", "longer"),
            ("[budget]", "[api]\nlisten = \"127.0.0.1:1\"\n[budget]", "API"),
        ] {
            let found = check(|text| text.replacen(from, to, 1));
            assert!(found.len() == 1 && found[0].contains(part), "{from} -> {to}: {found:?}");
        }
    }

    #[test]
    fn what_narrows_or_changes_nothing_is_free() {
        for (from, to) in [
            ("", ""),
            ("\"ask\"", "\"deny\""),
            ("5.0", "4.0"),
            ("steps = 50", "steps = 50\ntokens = 1000"),
            ("[1, 2]", "[1]"),
            ("[workspaces.a]\npath = \"/srv/a\"\n", ""),
            ("[budget]", "[agent]\ncontext_tokens = 100000\n[budget]"),
        ] {
            assert_eq!(check(|text| text.replacen(from, to, 1)), Vec::<String>::new(), "{from} -> {to}");
        }
    }
}
