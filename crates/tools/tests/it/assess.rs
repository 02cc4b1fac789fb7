//! What calls would do, as the tools judge them from their arguments.

use serde_json::{Value, json};
use types::{Effect, Sink};

use crate::bench::Bench;

fn effect(bench: &Bench, tool: &str, input: &Value) -> Result<Effect, String> {
    bench.tool(tool).assess(input).map_err(|error| error.0)
}

#[tokio::test]
async fn the_descriptions_are_short_and_in_order() {
    let bench = Bench::new().await;
    let names: Vec<&str> = bench.tools.iter().map(|tool| tool.spec().name.as_str()).collect();
    assert_eq!(names, ["exec", "read", "write", "edit", "list", "grep", "search", "fetch", "ask"]);
    let specs: Vec<_> = bench.tools.iter().map(|tool| tool.spec()).collect();
    let size = serde_json::to_string(&specs).expect("specs are plain data").chars().count();
    assert!(size < 3_200, "every request pays for {size} characters");
}

#[tokio::test]
async fn the_effects_of_calls_are_known_before_they_run() {
    let bench = Bench::new().await;
    let cases = [
        ("exec", json!({"command": "cargo test"}), Sink::WorkspaceWrite, false, 1, "exec: cargo test"),
        (
            "exec",
            json!({"command": "rm -rf a b", "timeout_s": 5}),
            Sink::Destructive,
            false,
            2,
            "exec (deletes directories with all that is in them): rm -rf a b",
        ),
        (
            "exec",
            json!({"command": "sleep 1", "background": true}),
            Sink::WorkspaceWrite,
            false,
            1,
            "exec in the background: sleep 1",
        ),
        ("exec", json!({"job": 3, "action": "output"}), Sink::Compute, true, 1, "exec: output of job 3"),
        ("exec", json!({"job": 3, "action": "kill"}), Sink::WorkspaceWrite, false, 1, "exec: kill job 3"),
        ("read", json!({"path": "/workspace/a\nb"}), Sink::Compute, true, 1, "read: a\\nb"),
        ("write", json!({"path": "a", "content": "x\ny"}), Sink::WorkspaceWrite, false, 1, "write: a (2 lines)"),
        ("edit", json!({"path": "a", "old": "x", "new": "y"}), Sink::WorkspaceWrite, false, 1, "edit: a"),
        ("list", json!({}), Sink::Compute, true, 1, "list: ."),
        ("grep", json!({"pattern": "fn .*"}), Sink::Compute, true, 1, "grep: fn .*"),
        ("search", json!({"query": "invoice"}), Sink::Compute, true, 1, "search: invoice"),
        ("fetch", json!({"url": "https://example.com/a"}), Sink::Fetch, true, 1, "fetch: GET https://example.com/a"),
        (
            "fetch",
            json!({"url": "https://example.com/", "method": "post", "body": "x"}),
            Sink::Send,
            false,
            1,
            "fetch: POST https://example.com/",
        ),
        (
            "fetch",
            json!({"url": "https://example.com/", "headers": {"X-Said": "words"}}),
            Sink::Send,
            true,
            1,
            "fetch: GET https://example.com/",
        ),
        (
            "fetch",
            json!({"url": "https://example.com/", "credential": "token"}),
            Sink::Credential,
            true,
            1,
            "fetch: GET https://example.com/ with the secret token",
        ),
        ("ask", json!({"question": "Which?"}), Sink::Reply, true, 1, "ask: Which?"),
    ];
    for (tool, input, sink, read_only, count, summary) in cases {
        let found = effect(&bench, tool, &input).expect("the arguments fit");
        assert_eq!((found.sink, found.read_only, found.count), (sink, read_only, count), "{tool} {input}");
        assert_eq!(found.summary, summary, "{tool} {input}");
    }
}

#[tokio::test]
async fn misfitting_arguments_are_refused_with_an_explanation() {
    let bench = Bench::new().await;
    let cases = [
        ("exec", json!({}), "`command` is missing"),
        ("exec", json!({"command": "  "}), "`command` is empty"),
        ("exec", json!({"command": "a\0b"}), "zero byte"),
        ("exec", json!({"command": "a", "timeout_s": 0}), "1 to 3600"),
        ("exec", json!({"command": "a", "timeout_s": 4000}), "use background"),
        ("exec", json!({"command": "a", "job": 1}), "either `command` or `job`"),
        ("exec", json!({"command": "a", "action": "kill"}), "`action` goes with `job`"),
        ("exec", json!({"job": 1, "timeout_s": 5}), "go with `command`"),
        ("exec", json!({"job": 1, "action": "pause"}), "unknown variant `pause`"),
        ("exec", json!({"cmd": "a"}), "unknown field `cmd`"),
        ("exec", json!("{\"command\": \"a"), "not valid JSON"),
        ("read", json!({"path": "/etc/passwd"}), "outside the workspace"),
        ("read", json!({"path": "."}), "must name a file"),
        ("read", json!({"path": "a", "from": 0}), "start at 1"),
        ("read", json!({"path": "a", "from": -1}), "invalid value"),
        ("write", json!({"path": "a"}), "missing field `content`"),
        ("edit", json!({"path": "a", "old": "", "new": "x"}), "`old` is empty"),
        ("edit", json!({"path": "a", "old": "x", "new": "x"}), "are the same"),
        ("list", json!({"depth": 99}), "1 to 16"),
        ("grep", json!({"pattern": "("}), "not a usable regular expression: unclosed group"),
        ("grep", json!({"pattern": "(a{1000}){1000}"}), "not a usable regular expression"),
        ("search", json!({"query": " "}), "`query` is empty"),
        ("search", json!({"query": "a", "limit": 1000}), "1 to 50"),
        ("ask", json!({"question": ""}), "`question` is empty"),
        ("ask", json!({"question": "a", "options": ["a", "b", "c", "d", "e", "f", "g"]}), "6 short texts"),
    ];
    for (tool, input, why) in cases {
        let error = effect(&bench, tool, &input).expect_err("the arguments do not fit");
        assert!(error.contains(why), "{tool} {input}: {error}");
    }
}
