//! What rules are made of, and that none matches a call that differs from it in any bound part.

use proptest::prelude::*;
use serde_json::json;
use types::{Effect, Origin, SessionId, TurnId, WorkspaceName};

use super::*;
use crate::BULK;

struct Case {
    tool: &'static str,
    input: Value,
    effect: Effect,
    label: Label,
    workspace: WorkspaceName,
    touched: u32,
}

impl Case {
    fn new(sink: Sink, input: Value) -> Self {
        let effect = Effect {
            sink,
            read_only: sink == Sink::Fetch,
            destinations: vec!["api.example.org".to_owned()],
            reversible: false,
            payload: None,
            summary: "a call".to_owned(),
            count: 2,
        };
        let workspace = WorkspaceName::new("work").expect("the name is valid");
        Self { tool: "tool", input, effect, label: Label::FOREIGN, workspace, touched: 0 }
    }

    fn fetch(url: &str) -> Self {
        Self::new(Sink::Fetch, json!({ "url": url }))
    }

    fn request(&self) -> Request<'_> {
        Request {
            tool: self.tool,
            input: &self.input,
            effect: &self.effect,
            label: self.label,
            origin: Origin::Owner,
            session: SessionId(1),
            turn: TurnId(2),
            workspace: &self.workspace,
            workspace_state: None,
            destinations_are_owners: false,
            touched: self.touched,
        }
    }

    fn rule(&self) -> AllowanceRule {
        offer(&self.request()).expect("a rule is offered").rule
    }
}

#[test]
fn a_rule_matches_the_call_that_it_was_made_of() {
    for sink in [Sink::Compute, Sink::WorkspaceWrite, Sink::Fetch, Sink::Send, Sink::Credential] {
        let case = Case::new(sink, json!({ "command": "make" }));
        assert!(allow(&case.rule(), &case.request()).is_some(), "{sink:?}");
    }
}

#[test]
fn no_rule_is_made_of_what_must_be_judged_each_time() {
    for sink in [Sink::Destructive, Sink::Persist] {
        assert_eq!(offer(&Case::new(sink, json!({})).request()), None, "{sink:?}");
    }
    for sink in [Sink::Send, Sink::Fetch, Sink::Credential] {
        let mut case = Case { label: Label::UNKNOWN, ..Case::new(sink, json!({})) };
        assert!(offer(&case.request()).is_some(), "{sink:?}");
        case.effect.destinations.clear();
        assert_eq!(offer(&case.request()), None, "{sink:?}");
    }
    let long = Case::new(Sink::Compute, json!({ "command": "x".repeat(2_000) }));
    assert_eq!(offer(&long.request()), None, "a rule that cannot be shown in full");
}

#[test]
fn no_rule_lifts_the_count_over_the_task() {
    let mut case = Case::new(Sink::Send, json!({}));
    let rule = case.rule();
    for (touched, expected) in [(0, true), (BULK - 3, true), (BULK - 2, false), (BULK - 1, false), (BULK, true)] {
        case.touched = touched;
        assert_eq!(matches(&rule, &case.request()), expected, "{touched}");
        assert_eq!(offer(&case.request()).is_some(), expected, "{touched}");
    }
}

#[test]
fn the_texts_say_everything() {
    let mut send = Case::new(
        Sink::Send,
        json!({ "url": "https://api.example.org/v1/tickets/9?x=1", "method": "post", "body": "hi", "json": true }),
    );
    let texts = [
        offer(&send.request()),
        offer(&Case::new(Sink::Compute, json!({ "command": "make deploy" })).request()),
        offer(&Case::fetch("https://api.example.org/docs/a").request()),
    ];
    send.label = Label::UNKNOWN;
    let texts: Vec<String> =
        texts.into_iter().chain([offer(&send.request())]).flatten().map(|offer| offer.text).collect();
    assert_eq!(
        texts.join("\n"),
        "\
`tool` is not asked about when all of this holds:
- it is a POST of any address that begins with https://api.example.org/v1/tickets/
- whatever it sends there
- its other arguments are exactly {\"json\":true}
- it goes to api.example.org and nowhere else
- it touches at most 2 things
- it acts in workspace work, whatever the files there then hold
- the session holds at most foreign text, and nothing private
`tool` is not asked about when all of this holds:
- its arguments are exactly {\"command\":\"make deploy\"}
- it goes to api.example.org and nowhere else
- it touches at most 2 things
- it acts in workspace work, whatever the files there then hold
- the session holds at most foreign text, and nothing private
`tool` is not asked about when all of this holds:
- it is a GET of any address that begins with https://api.example.org/docs/
- its other arguments are exactly {}
- it goes to api.example.org and nowhere else
- it acts in workspace work, whatever the files there then hold
- the session holds at most foreign text, and nothing private
`tool` is not asked about when all of this holds:
- its arguments are exactly {\"body\":\"hi\",\"json\":true,\"method\":\"post\",\"url\":\"https://api.example.org/v1/tickets/9?x=1\"}
- it goes to api.example.org and nowhere else
- it touches at most 2 things
- it acts in workspace work, whatever the files there then hold
- the session holds at most foreign text and private data"
    );
}

#[test]
fn an_address_must_lie_beneath_the_one_that_was_approved() {
    let rule = Case::fetch("https://api.example.org/docs/a?b=c").rule();
    for (url, expected) in [
        ("https://api.example.org/docs/", true),
        ("https://api.example.org/docs/x/y.html?q=1#z", true),
        ("https://api.example.org/doc", false),
        ("https://api.example.org/other/", false),
        ("https://api.example.org.evil.example/docs/", false),
        ("https://api.example.org@evil.example/docs/", false),
        ("http://api.example.org/docs/", false),
        ("https://api.example.org:444/docs/", false),
        ("https://API.example.org/docs/", false),
        ("https://api.example.org/docs/../secret", false),
        ("https://api.example.org/docs/x/..", false),
        ("https://api.example.org/docs/%2E%2e/secret", false),
        ("https://api.example.org/docs/..%2fsecret", false),
        ("https://api.example.org/docs/..\\secret", false),
        ("https://api.example.org/docs/a b", false),
        ("https://api.example.org/docs/a\tb", false),
        ("https://api.example.org/docs/\u{e9}", false),
    ] {
        assert_eq!(matches(&rule, &Case::fetch(url).request()), expected, "{url}");
    }
    let posted = Case::new(Sink::Fetch, json!({ "url": "https://api.example.org/docs/a", "method": "POST" }));
    assert!(!matches(&rule, &posted.request()), "another method");
    let extra = Case::new(Sink::Fetch, json!({ "url": "https://api.example.org/docs/a", "headers": {} }));
    assert!(!matches(&rule, &extra.request()), "another argument");
}

#[test]
fn an_address_that_could_be_read_in_two_ways_is_not_generalised() {
    for url in [
        "https://user@api.example.org/docs/a",
        "https://api.example.org\\docs/a",
        "https://Api.example.org/docs/a",
        "https://api.example.org",
        "https:///docs/a",
        "ftp://api.example.org/docs/a",
        "https://api.example.org/docs/../a",
        "https://[::1]/docs/a",
    ] {
        let rule = Case::fetch(url).rule();
        assert!(matches!(rule.arguments, AllowedArguments::Exactly { .. }), "{url}: {rule:?}");
    }
}

type Change = (&'static str, fn(&mut Case));

const CHANGES: [Change; 11] = [
    ("the tool", |case| case.tool = "other"),
    ("an argument", |case| case.input["a"] = json!("changed")),
    ("an argument more", |case| case.input["new"] = json!(null)),
    ("the sink", |case| case.effect.sink = if case.effect.sink == Sink::Reply { Sink::Compute } else { Sink::Reply }),
    ("reading", |case| case.effect.read_only = !case.effect.read_only),
    ("a destination", |case| case.effect.destinations = vec!["evil.example".to_owned()]),
    ("a destination more", |case| case.effect.destinations.push("evil.example".to_owned())),
    ("no destination", |case| case.effect.destinations.clear()),
    ("more things", |case| case.effect.count += 1),
    ("the workspace", |case| case.workspace = WorkspaceName::new("other").expect("the name is valid")),
    ("it destroys", |case| case.effect.sink = Sink::Destructive),
];

fn label() -> impl Strategy<Value = Label> {
    proptest::sample::select(vec![Label::CLEAN, Label::OWNER, Label::FOREIGN, Label::UNKNOWN])
}

fn sink() -> impl Strategy<Value = Sink> {
    proptest::sample::select(vec![Sink::Compute, Sink::WorkspaceWrite, Sink::Fetch, Sink::Send, Sink::Credential])
}

fn input() -> impl Strategy<Value = Value> {
    let url = "https://[a-z]{1,5}\\.example/([a-z]{1,3}/){0,2}[a-z]{0,3}";
    (".{0,6}", proptest::option::of(url), proptest::option::of("(GET|POST)")).prop_map(|(a, url, method)| {
        let mut input = json!({ "a": a });
        if let Some(url) = url {
            input["url"] = json!(url);
        }
        if let Some(method) = method {
            input["method"] = json!(method);
        }
        input
    })
}

proptest! {
    #[test]
    fn a_rule_never_matches_a_call_that_differs_in_a_bound_part(
        sink in sink(), label in label(), input in input(), change in 0..CHANGES.len(), read_only: bool,
    ) {
        let mut case = Case { label, ..Case::new(sink, input) };
        case.effect.read_only = read_only;
        let rule = case.rule();
        prop_assert!(matches(&rule, &case.request()));
        let (what, change) = CHANGES[change];
        change(&mut case);
        prop_assert!(!matches(&rule, &case.request()), "{}", what);
    }

    #[test]
    fn a_rule_never_matches_under_a_higher_label(sink in sink(), made in label(), used in label(), input in input()) {
        let mut case = Case { label: made, ..Case::new(sink, input) };
        let rule = case.rule();
        case.label = used;
        prop_assert!(!matches(&rule, &case.request()) || made.covers(used));
        // A lower label is let through as well, unless the rule was one for any address.
        if made.covers(used) && !matches!(rule.arguments, AllowedArguments::Address { .. }) {
            prop_assert!(matches(&rule, &case.request()));
        }
    }

    #[test]
    fn no_address_reaches_another_host(rest in "[!-~]{0,20}", host in "[!-~]{1,20}") {
        let rule = Case::fetch("https://api.example.org/docs/a").rule();
        for url in [format!("https://{host}/docs/{rest}"), format!("https://api.example.org{rest}")] {
            if matches(&rule, &Case::fetch(&url).request()) {
                prop_assert!(url.starts_with("https://api.example.org/docs/"), "{}", url);
            }
        }
    }
}
