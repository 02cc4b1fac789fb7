//! What a coding agent means to do with a tool of its own, in the terms of ours, so that one table and one set of the
//! owner's rules judge both. Pure. Must not decide.

use std::path::{Component, Path, PathBuf};

use egress::WebTarget;
use serde_json::{Value, json};
use types::{Effect, InvalidInput, Sink};

use crate::{
    arguments::one_line,
    exec::script_effect,
    spec::{changing, looking},
};

/// Where the sandbox shows the tree.
const TREE: &str = "/workspace";
/// The sandbox's own memory, which ends with it.
const SCRATCH: &str = "/tmp";
/// The most files that one question may be about.
const MAX_PATHS: usize = 200;

/// A call of a tool of ours that would have the same effect.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedCall {
    /// The tool of ours.
    pub tool: &'static str,
    /// Its arguments.
    pub input: Value,
    /// What it would do.
    pub effect: Effect,
}

/// A command in the sandbox, as `exec` runs one.
pub fn command(script: &str) -> Result<AskedCall, InvalidInput> {
    if script.trim().is_empty() || script.contains('\0') {
        return Err(InvalidInput("the command is empty or holds a zero byte".to_owned()));
    }
    Ok(AskedCall { tool: "exec", input: json!({ "command": script }), effect: script_effect("exec", script) })
}

/// Changes of files in the tree, as `write` makes them.
pub fn write(paths: &[String]) -> Result<AskedCall, InvalidInput> {
    let shown = inside(paths)?;
    let effect = Effect { count: count(paths), ..changing(format!("write: {shown}")) };
    Ok(AskedCall { tool: "write", input: json!({ "paths": paths }), effect })
}

/// A look at files in the tree, as `read` takes it.
pub fn read(paths: &[String]) -> Result<AskedCall, InvalidInput> {
    let effect = looking(format!("read: {}", inside(paths)?));
    Ok(AskedCall { tool: "read", input: json!({ "paths": paths }), effect })
}

/// A look at an address, as `fetch` takes it. The target is none where it is no address: words for a search engine.
pub fn fetch(text: &str) -> (AskedCall, Option<WebTarget>) {
    let target = WebTarget::parse_written(text).ok();
    let shown = target.as_ref().map_or_else(|| one_line(text, 200), ToString::to_string);
    let effect = Effect {
        sink: Sink::Fetch,
        // Words go to whoever answers them; what they say is theirs to keep.
        payload: target.is_none().then(|| text.to_owned()),
        destinations: vec![shown.clone()],
        ..looking(format!("fetch: {shown}"))
    };
    (AskedCall { tool: "fetch", input: json!({ "url": shown }), effect }, target)
}

/// The paths on one line, if all of them lie in the tree or in the sandbox's scratch memory. Only the words are looked at:
/// where a link leads is the sandbox's matter, which shows nothing else.
fn inside(paths: &[String]) -> Result<String, InvalidInput> {
    if paths.is_empty() || paths.len() > MAX_PATHS {
        return Err(InvalidInput(format!("it names no file, or more than {MAX_PATHS}")));
    }
    if let Some(outside) = paths.iter().find(|path| !is_inside(path)) {
        let shown = one_line(outside, 200);
        return Err(InvalidInput(format!("`{shown}` lies outside of the tree; work below {TREE}, or in {SCRATCH}")));
    }
    let all: Vec<String> = paths.iter().take(8).map(|path| one_line(path, 120)).collect();
    let more = paths.len().saturating_sub(all.len());
    Ok(if more == 0 { all.join(", ") } else { format!("{} and {more} more", all.join(", ")) })
}

fn is_inside(path: &str) -> bool {
    if path.is_empty() || path.contains('\0') {
        return false;
    }
    let mut plain = PathBuf::new();
    for part in Path::new(TREE).join(path).components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => plain.push(part),
        }
    }
    plain.starts_with(TREE) || (plain.starts_with(SCRATCH) && plain != Path::new(SCRATCH))
}

fn count(paths: &[String]) -> u32 {
    u32::try_from(paths.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn one(path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }

    #[test]
    fn a_command_is_what_exec_would_make_of_it() {
        let tests = command("cargo test").unwrap();
        assert_eq!((tests.tool, tests.effect.sink), ("exec", Sink::WorkspaceWrite));
        let force = command("git push --force").unwrap();
        assert_eq!(force.effect.sink, Sink::Destructive);
        assert_eq!(force.effect.payload.as_deref(), Some("git push --force"), "the owner sees all of it");
        assert!(command(" ").is_err() && command("a\0b").is_err());
    }

    #[test]
    fn files_outside_of_the_tree_are_refused_in_words() {
        for good in ["src/main.rs", "/workspace/a", "./a", "a/../b", "/tmp/x", "/workspace"] {
            assert!(write(&one(good)).is_ok() && read(&one(good)).is_ok(), "{good}");
        }
        for bad in [
            "../x",
            "/etc/passwd",
            "/workspace/../etc/x",
            "/workspaces/a",
            "/home/agent/.claude/settings.json",
            "/tmp/../root",
            "/tmp",
            "~/.ssh/id\0",
            "",
            "/proc/self/environ",
        ] {
            let refused = write(&one(bad)).unwrap_err().0;
            assert!(refused.contains("outside of the tree"), "{refused}");
            assert!(read(&one(bad)).is_err(), "{bad}");
        }
        let mixed = ["a".to_owned(), "/etc/x".to_owned()];
        assert!(write(&mixed).is_err());
        assert!(write(&[]).is_err());
    }

    #[test]
    fn what_is_no_address_goes_out_as_words() {
        let (call, target) = fetch("https://docs.rs/tokio");
        assert!(target.is_some() && call.effect.payload.is_none());
        assert_eq!(call.effect.destinations, ["https://docs.rs/tokio"]);
        let (search, target) = fetch("how to leak a secret");
        assert!(target.is_none());
        assert_eq!(search.effect.payload.as_deref(), Some("how to leak a secret"));
    }
}
